"""The positive label of a binary task: named by the user, known by convention, required, or the rarer one."""

from __future__ import annotations

from foldtune.errors import InputError
from foldtune.results.records.ranking import Goal
from foldtune.search.config.schema import RunConfig
from foldtune.spaces import Space
from foldtune.spaces.entries import Constant, Entry
from foldtune.trainers.data.label_columns import known_positive
from foldtune.trainers.data.table import Table
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.binary import ONE_SIDED_METRICS, Binary
from foldtune.trainers.tasks.judged import Judged
from foldtune.wording import shortened

_ONE_SIDED_SETTINGS = ("loss.alpha", "postprocess.threshold")
"""Settings that treat the two labels differently."""


def positive_notes(
    config: RunConfig, task: Task, table: Table, goal: Goal | None, space: Space | None
) -> tuple[str, ...]:
    """Return a line on the label that was taken for the positive one, of a binary task that does not name it.

    Raises:
        InputError: what is optimised, or a setting of the space, depends on it.
    """
    targets = table.targets
    assert targets is not None
    if isinstance(task, Judged):
        targets = task.coarse(targets)
        task = task.judged
    if not isinstance(task, Binary) or config.data.positive is not None or known_positive(task.labels):
        return ()
    negative, positive = (shortened(repr(label)) for label in task.labels)
    reasons = []
    if goal is not None and goal.metric in ONE_SIDED_METRICS:
        reasons.append(f"the metric {goal.metric}")
    if isinstance(config.search.costs, list):
        reasons.append("the order of search.costs")
    if space is not None:
        reasons += dict.fromkeys(f"space.{entry.name}" for entry in space.entries if _is_one_sided(entry))
    if reasons:
        raise InputError(
            f"data.positive: missing; {' and '.join(reasons[:2])} of the labels {negative} and {positive} depends on "
            f"which of them is looked for: set data.positive to one of them"
        )
    count = int((targets == 1).sum())
    return (
        f"positive is the label {positive}, the rarer one ({count} of {len(table)} rows), where precision, sensitivity "
        f"or a submission's scores depend on it; data.positive names another",
    )


def _is_one_sided(entry: Entry) -> bool:
    path = ".".join(entry.location.keys)
    values = (entry.value,) if isinstance(entry, Constant) else entry.domain.corners()
    if path in ("loss", "loss.name"):
        return "asymmetric" in values
    return path in _ONE_SIDED_SETTINGS and not set(map(str, values)) <= {"0", "0.0", "0.5"}
