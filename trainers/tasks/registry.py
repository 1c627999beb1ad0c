"""The tasks by name."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from foldtune.errors import DataError, Problem, SettingsError
from foldtune.trainers.data.target_forms.weights import holds_weights
from foldtune.trainers.tasks.base import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.judged import JUDGED, Judged, judged_task
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal
from foldtune.trainers.tasks.soft import SoftMulticlass, SoftMultilabel
from foldtune.trainers.tasks.text_detection import TextDetection
from foldtune.wording import unknown

if TYPE_CHECKING:
    import pandas as pd

_ALL: tuple[type[Task], ...] = (Binary, Multiclass, Multilabel, Ordinal, TextDetection)

TASKS: Mapping[str, type[Task]] = MappingProxyType({task.name: task for task in _ALL})
"""Name in a YAML file -> task."""

SOFT_TASKS: Mapping[str, type[Task]] = MappingProxyType({task.name: task for task in (SoftMulticlass, SoftMultilabel)})
"""Name → the same task of soft targets."""


def get_task(name: str, judge_map: Mapping[str, str] | None = None) -> type[Task]:
    """The task of that name.

    Args:
        judge_map: label → coarser label that is judged; None where the labels themselves are.

    Raises:
        SettingsError: there is none; names the nearest.
        DataError: it has no labels that could be judged as coarser ones.
    """
    if name not in TASKS:
        raise SettingsError([Problem("task", unknown("task", name, TASKS))])
    return judged_task(TASKS[name], judge_map)


def task_for(task: type[Task], frame: pd.DataFrame, target: str) -> type[Task]:
    """The form of the task that fits a column of labels: that of soft targets where it holds weights of labels.

    Raises:
        DataError: weights, of a task whose targets cannot be soft.
    """
    if not holds_weights(frame, target):
        return task
    if issubclass(task, Judged):
        raise DataError([f"column '{target}' holds weights of labels, of which data.judge_map makes no coarser ones"])
    if task.name not in SOFT_TASKS:
        takes = " and ".join(SOFT_TASKS)
        way = "; of two labels task multiclass takes them, too" if task.name == "binary" else ""
        reason = f"which the tasks {takes} take, not {task.name}{way}"
        raise DataError([f"column '{target}' holds weights of labels, {reason}"])
    return SOFT_TASKS[task.name]


def task_from_dict(values: Mapping[str, Any]) -> Task:
    """The task that `foldtune.trainers.tasks.base.Task.to_dict` wrote.

    Raises:
        DataError: not such a mapping.
        SettingsError: a task that does not exist.
    """
    if "task" not in values:
        raise DataError(["not a task: no key 'task'"])
    task = get_task(str(values["task"]))
    if "judged_as" in values:
        pair = task.name, str(values["judged_as"])
        if pair not in JUDGED:
            raise DataError([f"task {pair[0]} is not judged as {pair[1]}"])
        return JUDGED[pair].from_dict(values)
    return (SOFT_TASKS.get(task.name, task) if values.get("soft") is True else task).from_dict(values)
