"""Two answers to the same rows side by side, with an interval of their difference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import InputError
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import Mode
from foldtune.search.assess.held_out import HeldOut
from foldtune.search.runs.stored_task import resolve_goal
from foldtune.search.runs.trusted_metrics import own_function
from foldtune.search.voting.bootstrap import Bootstrap, Interval, paired_interval
from foldtune.search.voting.evaluation import Objective, differing
from foldtune.trainers.user_metrics.task import metrics_of, with_metrics

FIGURES = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Comparison:
    """Figures of A and B on their shared held-out rows.

    Attributes:
        goal: the metric that decides, and its direction.
        rows: number of shared rows; rows_a and rows_b: numbers of rows of each.
        difference: B less A by the metric, with its 95% interval over the choice of rows.
        metrics: {metric: (A, B)} of every metric of the task.
        modes: direction of each of them.
        per_class: rows {label, support, a: {precision, recall, f1}, b: {…}}.
    """

    a: str
    b: str
    goal: Goal
    rows: int
    rows_a: int
    rows_b: int
    difference: Interval
    metrics: Mapping[str, tuple[float, float]]
    modes: Mapping[str, Mode]
    per_class: Sequence[Mapping[str, Any]]

    @property
    def gain(self) -> float:
        """Return by how much B is better than A by the goal; negative where it is worse."""
        return self.goal.sign * self.difference.value

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "a": self.a,
            "b": self.b,
            "metric": self.goal.metric,
            "mode": self.goal.mode,
            "rows": self.rows,
            "rows_a": self.rows_a,
            "rows_b": self.rows_b,
            "difference": self.difference.to_dict(),
            "metrics": {name: {"a": a, "b": b, "difference": b - a} for name, (a, b) in self.metrics.items()},
            "per_class": [dict(row) for row in self.per_class],
        }


def compare(a: HeldOut, b: HeldOut, metric: str | None = None) -> Comparison:
    """Judge both on the rows that they share.

    Args:
        metric: metric whose difference gets an interval; the one that `a` was fitted for if None.

    Raises:
        InputError: other tasks or labels, no shared row, rows with other labels, a metric that there is not.
    """
    a = _computable(a, b)
    try:
        goal = resolve_goal(a.task, a.metric if metric is None else metric)
    except InputError as error:
        raise InputError([f"--metric: {problem}" for problem in error.problems]) from None
    in_a, in_b = _shared(a, b)
    targets = a.targets[in_a]
    answers_a, answers_b = ((each.scores[rows], each.predictions[rows]) for each, rows in ((a, in_a), (b, in_b)))
    known = [each.groups[rows] for each, rows in ((a, in_a), (b, in_b)) if each.groups is not None]
    groups = known[0] if known else None
    figures_a, figures_b = (a.task.evaluate(*answers, targets) for answers in (answers_a, answers_b))
    return Comparison(
        a=a.name,
        b=b.name,
        goal=goal,
        rows=len(targets),
        rows_a=len(a.ids),
        rows_b=len(b.ids),
        difference=paired_interval(Objective(a.task, goal.metric, targets), answers_b, answers_a, Bootstrap(groups)),
        metrics={name: (figures_a[name], figures_b[name]) for name in a.task.metrics},
        modes=a.task.metrics,
        per_class=_per_class(a.task.per_class(answers_a[1], targets), a.task.per_class(answers_b[1], targets)),
    )


def _computable(a: HeldOut, b: HeldOut) -> HeldOut:
    """Return A with B's copy of the metric that both have, where A, such as a model in use, has none that may run."""
    own, other = own_function(a.task), own_function(b.task)
    if own is None or other is None or own.is_available or not other.is_available or own != other.locked():
        return a
    return replace(a, task=with_metrics(a.task, [other if each == own else each for each in metrics_of(a.task)]))


def _shared(a: HeldOut, b: HeldOut) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the rows that both have, in the order of their ids."""
    if a.task.name != b.task.name:
        raise InputError(f"{a.name} is of task {a.task.name}, {b.name} of task {b.task.name}: they cannot be compared")
    if a.task.label_names != b.task.label_names:
        raise InputError(_other_labels(a, b))
    _, in_a, in_b = np.intersect1d(a.ids, b.ids, return_indices=True)
    if not len(in_a):
        raise InputError(
            f"{a.name} ({len(a.ids)} rows) and {b.name} ({len(b.ids)} rows) share no held-out row: "
            "compare what was judged on the same data"
        )
    wrong = np.flatnonzero(differing(a.targets[in_a], b.targets[in_b]))
    if len(wrong):
        first = a.ids[in_a[wrong[0]]]
        raise InputError(
            f"{len(wrong)} of {len(in_a)} shared rows have another label in {a.name} than in {b.name} (first: {first})"
        )
    return in_a, in_b


def _other_labels(a: HeldOut, b: HeldOut) -> str:
    only = [sorted(set(one.task.label_names) - set(other.task.label_names))[:5] for one, other in ((a, b), (b, a))]
    said = [f"only {each.name} has {', '.join(names)}" for each, names in zip((a, b), only, strict=True) if names]
    return f"{a.name} and {b.name} have other labels: " + ("; ".join(said) or "the same ones in another order")


def _per_class(rows_a: Sequence[Mapping[str, Any]], rows_b: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "label": of_a["label"],
            "support": of_a["support"],
            "a": {name: of_a[name] for name in FIGURES},
            "b": {name: of_b[name] for name in FIGURES},
        }
        for of_a, of_b in zip(rows_a, rows_b, strict=True)
    ]
