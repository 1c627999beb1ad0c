"""The task of a stored run or ensemble, and the metric that a run optimises, which is stored with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foldtune.errors import FoldtuneError, InputError, RunCorrupt
from foldtune.results.records.ranking import Goal
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.paths import StorePath
from foldtune.trainers.tasks import TASKS, Task
from foldtune.trainers.user_metrics.task import stored_task
from foldtune.wording import unknown


def read_task(values: Mapping[str, Any], path: StorePath) -> Task:
    """Return the task of a stored mapping.

    Args:
        values: what `Task.to_dict` wrote.
        path: file that holds it, for messages.

    Raises:
        RunCorrupt: no such task, or values that are none of its.
    """
    try:
        return stored_task(values)
    except FoldtuneError as error:
        raise RunCorrupt(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunCorrupt(f"{path}: task: {reason}") from None


def resolve_goal(task: Task | type[Task], metric: str | None) -> Goal:
    """Return a metric of the task with its direction; the task's default metric where none is given.

    Raises:
        InputError: the task has no such metric; names the near ones.
    """
    chosen = metric or task.default_metric
    if chosen not in task.metrics:
        raise InputError(unknown(f"metric of task {task.name}:", chosen, task.metrics))
    return Goal(chosen, task.metrics[chosen])


def stored_goal(store: RunStore) -> Goal | None:
    """Return the metric and direction of a stored run; in a run that was made before they were stored, its task's.

    None where the task of such a run, or its metric, is not known here.

    Raises:
        RunCorrupt: a file that cannot be read, or that is missing.
    """
    goal = store.read_goal()
    if goal is not None:
        return goal
    task, search = TASKS.get(str(store.read_task().get("task"))), store.read_config().get("search")
    if task is None or not isinstance(search, dict):
        return None
    try:
        return resolve_goal(task, search.get("metric"))
    except InputError:
        return None
