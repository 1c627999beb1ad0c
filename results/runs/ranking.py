"""The metric that a run optimises, and the order of its trials by it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from foldtune.results.runs.records import Mode, TrialRecord


@dataclass(frozen=True)
class Goal:
    """What a run optimises."""

    metric: str
    mode: Mode

    def better(self, a: float, b: float) -> bool:
        """Whether value `a` beats value `b`."""
        return a > b if self.mode == "max" else a < b


def finalists(records: Iterable[TrialRecord], goal: Goal, top: int) -> list[TrialRecord]:
    """Return the ``top`` best trials to train on every fold: complete ones by value, then pruned ones by value.

    A pruned trial has not reached the end of its lr schedule, so its value is less reliable than a complete one's.
    """
    usable = [r for r in records if r.status in ("COMPLETE", "PRUNED") and math.isfinite(r.value(goal.metric))]
    sign = -1 if goal.mode == "max" else 1
    return sorted(usable, key=lambda r: (r.status != "COMPLETE", sign * r.value(goal.metric), r.number))[:top]
