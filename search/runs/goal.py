"""The metric that a run optimises and its direction: resolved when the run is made, and stored with it."""

from __future__ import annotations

from foldtune.errors import InputError
from foldtune.results.runs.ranking import Goal
from foldtune.results.runs.store import RunStore
from foldtune.trainers.tasks import TASKS, Task
from foldtune.wording import unknown


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
