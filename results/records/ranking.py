"""The metric that a run optimises, and the order of its trials by it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from foldtune.results.records.trials import Mode, TrialRecord


@dataclass(frozen=True)
class Goal:
    """The metric that a run optimises, and its direction.

    Attributes:
        mode: "max" where more is better, "min" where less is.

    >>> Goal("mae", "min").better(0.4, 0.5)
    True
    """

    metric: str
    mode: Mode

    @property
    def sign(self) -> int:
        """Return 1 where more is better, -1 where less is: values times it are the higher the better."""
        return 1 if self.mode == "max" else -1

    def better(self, a: float, b: float) -> bool:
        """Return whether value ``a`` beats value ``b``."""
        return a > b if self.mode == "max" else a < b

    def best(self, values: Iterable[float]) -> float | None:
        """Return the best of the finite values, None where there is none."""
        finite = (value for value in values if math.isfinite(value))
        return max(finite, key=lambda value: self.sign * value, default=None)


def finalists(records: Iterable[TrialRecord], goal: Goal, top: int) -> list[TrialRecord]:
    """Return the ``top`` best trials to train on every fold: complete ones by value, then pruned ones by value.

    A pruned trial has not reached the end of its lr schedule, so its value is less reliable than a complete one's.
    """
    usable = [r for r in records if r.status in ("COMPLETE", "PRUNED") and math.isfinite(r.value(goal.metric))]
    return sorted(usable, key=lambda r: (r.status != "COMPLETE", -goal.sign * r.value(goal.metric), r.number))[:top]
