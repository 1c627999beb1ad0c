"""Kinds of problem, one file each, behind the protocol of `foldtune.trainers.tasks.base`."""

from foldtune.trainers.tasks.base import Task
from foldtune.trainers.tasks.registry import TASKS, get_task, task_from_dict

__all__ = ["TASKS", "Task", "get_task", "task_from_dict"]
