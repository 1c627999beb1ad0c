"""Percentile bootstrap intervals of a metric, and of the difference of two answers.

The bootstrap draws rows with replacement (Efron 1979), or whole groups where rows belong together, and evaluates what
was drawn. Where that would take long, m of n units are drawn instead and the deviations shrink by sqrt(m/n)
(Bickel, Götze & van Zwet 1997). An interval covers the choice of rows, not the randomness of training.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.errors import MetricFailed
from foldtune.search.voting.evaluation import Objective

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
        """Return it as JSON-able values."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Bootstrap:
    """How rows are drawn for an interval.

    Attributes:
        groups: (N,) groups of rows that are drawn together, None where each row stands alone. With the rows' ids as
            groups the result does not depend on the order of the rows.
        samples: maximum number of samples, each of which costs one evaluation; 0 leaves the bounds at the value.
        level: share of the samples between the bounds, in (0, 1).
    """

    groups: Array | None = None
    samples: int = SAMPLES
    seed: int = 0
    level: float = 0.95


def bootstrap_interval(objective: Objective, answers: Answers, bootstrap: Bootstrap | None = None) -> Interval:
    """Return the metric of scores and predictions (N, ...), N >= 1, with its percentile bootstrap interval."""

    def metric(rows: Array) -> float:
        return objective.value(*answers, rows)

    return _interval(metric, answers[0], bootstrap or Bootstrap())


def paired_interval(
    objective: Objective, first: Answers, second: Answers, bootstrap: Bootstrap | None = None
) -> Interval:
    """Return the metric of `first` less that of `second` with its interval, both on the same drawn rows.

    What is hard for both cancels out. For a metric of mode "min" a difference below 0 is in favour of `first`.
    """
    return mean_paired_interval(objective, [(first, second)], bootstrap)


def mean_paired_interval(
    objective: Objective, pairs: Sequence[tuple[Answers, Answers]], bootstrap: Bootstrap | None = None
) -> Interval:
    """Return the mean difference of several pairs, such as those of several seeds, as `paired_interval` does of one."""

    def difference(rows: Array) -> float:
        return sum(objective.value(*a, rows) - objective.value(*b, rows) for a, b in pairs) / len(pairs)

    return _interval(difference, pairs[0][0][0], bootstrap or Bootstrap())


@dataclass(frozen=True)
class _Plan:
    """Units to draw: `size` of `units` per sample; `unit` (N,) of each row, a group or the row alone."""

    unit: npt.NDArray[np.int64]
    units: int
    size: int
    samples: int
    seed: int

    @classmethod
    def of(cls, scores: Array, bootstrap: Bootstrap) -> _Plan:
        groups, samples = bootstrap.groups, bootstrap.samples
        rows, width = len(scores), max(1, scores[0].size)
        unit = np.arange(rows) if groups is None else np.unique(groups, return_inverse=True)[1].reshape(rows)
        units = int(unit.max()) + 1
        most_rows = max(_MIN_ROWS, _MAX_ELEMENTS // (max(1, samples) * width))
        return cls(unit, units, max(1, min(units, units * most_rows // rows)), samples, bootstrap.seed)

    def draws(self) -> Iterator[npt.NDArray[np.int64]]:
        """Yield the rows of each sample, a row as often as its unit was drawn."""
        rng = np.random.default_rng(self.seed)
        rows = np.arange(len(self.unit))
        for _ in range(self.samples):
            times = np.bincount(rng.integers(self.units, size=self.size), minlength=self.units)
            yield np.repeat(rows, times[self.unit])


def _interval(statistic: Callable[[npt.NDArray[np.int64]], float], scores: Array, bootstrap: Bootstrap) -> Interval:
    plan = _Plan.of(scores, bootstrap)
    value = statistic(np.arange(len(plan.unit)))
    found: list[float] = []
    until = time.monotonic() + _MAX_S
    for rows in plan.draws():
        with suppress(MetricFailed):  # a user's function may have no value where a draw lacks a class
            found.append(statistic(rows))
        if len(found) >= _MIN_SAMPLES and time.monotonic() > until:
            break
    tail = (1.0 - bootstrap.level) / 2.0
    drawn = np.array(found)
    drawn = drawn[np.isfinite(drawn)]
    bounds = np.quantile(drawn if len(drawn) else np.array([value]), [tail, 1.0 - tail])
    low, high = (value + np.sqrt(plan.size / plan.units) * (bounds - value)).tolist()
    return Interval(value, low, high)
