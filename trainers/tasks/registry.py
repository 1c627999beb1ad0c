"""The tasks by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from foldtune.errors import DataError, Problem, SettingsError
from foldtune.trainers.tasks.base import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal
from foldtune.trainers.tasks.text_detection import TextDetection
from foldtune.wording import unknown

_ALL: tuple[type[Task], ...] = (Binary, Multiclass, Multilabel, Ordinal, TextDetection)

TASKS: Mapping[str, type[Task]] = MappingProxyType({task.name: task for task in _ALL})
"""Name in a YAML file -> task."""


def get_task(name: str) -> type[Task]:
    """The task of that name.

    Raises:
        SettingsError: there is none; names the nearest.
    """
    if name not in TASKS:
        raise SettingsError([Problem("task", unknown("task", name, TASKS))])
    return TASKS[name]


def task_from_dict(values: Mapping[str, Any]) -> Task:
    """The task that `foldtune.trainers.tasks.base.Task.to_dict` wrote.

    Raises:
        DataError: not such a mapping.
        SettingsError: a task that does not exist.
    """
    if "task" not in values:
        raise DataError(["not a task: no key 'task'"])
    return get_task(str(values["task"])).from_dict(values)
