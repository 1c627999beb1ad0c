"""How far a figure could be off: percentile bootstrap intervals of a metric, and of the difference of two answers.

The bootstrap draws rows with replacement (Efron 1979), or whole groups where rows belong together, and evaluates what
was drawn. Where that would take long, m of n units are drawn instead and the deviations shrink by sqrt(m/n)
(Bickel, Götze & van Zwet 1997). What an interval knows of is the choice of rows; that another training would have
come out otherwise it cannot know.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.search.voting.evaluation import metric_of
from foldtune.trainers.tasks import Task

Array = npt.NDArray[Any]
Answers: TypeAlias = tuple[Array, Array]
"""Scores and predictions (N, ...) of the same rows."""

SAMPLES = 500
_MAX_ELEMENTS = 10_000_000  # numbers that all samples together evaluate: a few seconds
_MIN_ROWS = 1000  # drawn a sample, if there are as many
_MAX_S, _MIN_SAMPLES = 20.0, 100  # for a task whose metric is slow: then fewer samples must do


@dataclass(frozen=True)
class Interval:
    """A value with the bounds of its confidence interval."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float]:
        return {"value": self.value, "low": self.low, "high": self.high}


def bootstrap_interval(
    task: Task,
    metric: str,
    answers: Answers,
    targets: Array,
    *,
    groups: Array | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The metric of scores and predictions (N, ...) against targets (N, ...), N >= 1.

    Args:
        groups: (N,) rows of one group are drawn together. With the rows' ids as groups the result does not depend on
            the order of the rows.
        samples: drawn at most; each costs one `task.evaluate`. 0 leaves the bounds at the value.
        level: share of the samples between the bounds, in (0, 1).
    """

    def figure(rows: Array) -> float:
        return _evaluate(task, metric, answers, targets, rows)

    return _interval(figure, _Plan.of(answers[0], groups, samples, seed), level)


def paired_interval(
    task: Task,
    metric: str,
    first: Answers,
    second: Answers,
    targets: Array,
    *,
    groups: Array | None = None,
    samples: int = SAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """The metric of `first` less that of `second`, both on the same drawn rows: what is hard for both cancels out.

    Otherwise as :func:`bootstrap_interval`. For a metric of mode "min" a difference below 0 speaks for `first`.
    """

    def figure(rows: Array) -> float:
        one, other = (_evaluate(task, metric, each, targets, rows) for each in (first, second))
        return one - other

    return _interval(figure, _Plan.of(first[0], groups, samples, seed), level)


def _evaluate(task: Task, metric: str, answers: Answers, targets: Array, rows: Array) -> float:
    scores, predictions = answers
    return metric_of(task, metric, scores, predictions, targets, rows)


@dataclass(frozen=True)
class _Plan:
    """What is drawn: `size` of `units` units a sample; `unit` (N,) of each row."""

    unit: npt.NDArray[np.int64]
    units: int
    size: int
    samples: int
    seed: int

    @classmethod
    def of(cls, scores: Array, groups: Array | None, samples: int, seed: int) -> _Plan:
        rows, width = len(scores), max(1, scores[0].size)
        unit = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(rows)
        units = int(unit.max()) + 1
        most_rows = max(_MIN_ROWS, _MAX_ELEMENTS // (max(1, samples) * width))
        return cls(unit, units, max(1, min(units, units * most_rows // rows)), samples, seed)

    def draws(self) -> Iterator[npt.NDArray[np.int64]]:
        """Rows of each sample, a row as often as its unit was drawn."""
        rng = np.random.default_rng(self.seed)
        rows = np.arange(len(self.unit))
        for _ in range(self.samples):
            times = np.bincount(rng.integers(self.units, size=self.size), minlength=self.units)
            yield np.repeat(rows, times[self.unit])


def _interval(figure: Callable[[npt.NDArray[np.int64]], float], plan: _Plan, level: float) -> Interval:
    value = figure(np.arange(len(plan.unit)))
    found: list[float] = []
    until = time.monotonic() + _MAX_S
    for rows in plan.draws():
        found.append(figure(rows))
        if len(found) >= _MIN_SAMPLES and time.monotonic() > until:
            break
    tail = (1.0 - level) / 2.0
    bounds = np.quantile(np.array(found or [value]), [tail, 1.0 - tail])
    low, high = (value + np.sqrt(plan.size / plan.units) * (bounds - value)).tolist()
    return Interval(value, low, high)
