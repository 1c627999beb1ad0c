"""The time of a search: whether one more trial can start, when its trials are ended, and what is kept for the folds."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import median

from foldtune.results.records.trials import TrialRecord
from foldtune.search.planning.budget import Budget
from foldtune.search.planning.timings import Timings

Reserve = Callable[[Sequence[TrialRecord], Timings], float]
"""Seconds to keep for what follows the search, by its trials so far."""


class SearchTime:
    """Planned anew at the end of each trial.

    Args:
        budget: time of the search and of what follows it.
        first_rung: epochs that a trial trains at least.
        reserve: what to keep; None for nothing.
        own: the search's own limit, where it has one within a longer budget.
    """

    def __init__(
        self, budget: Budget, first_rung: int, reserve: Reserve | None = None, own: Budget | None = None
    ) -> None:
        self.budget, self._own = budget, own or Budget()
        self._first_rung = first_rung
        self._reserve = reserve
        self._overheads_s: list[float] = []
        self._timings = Timings()
        self._usable = False
        self.reserve_s = 0.0
        """Seconds that are kept for what follows the search."""

    @property
    def is_bound(self) -> bool:
        """Whether anything depends on the plan: a limit, or what follows."""
        return self.budget.is_limited or self._own.is_limited or self._reserve is not None

    @property
    def needs_plan(self) -> bool:
        """Whether no epoch was finished at the last plan: a new one is due at the next epoch."""
        return self.is_bound and not self._usable

    def plan(self, records: Sequence[TrialRecord]) -> None:
        """Take the trials so far, running ones too, as the base of what follows."""
        self._timings = Timings.of(records)
        self._usable = self._usable or any(record.epochs for record in records if record.status != "FAIL")
        if self._usable and self._reserve is not None:
            self.reserve_s = self._reserve(records, self._timings)

    def note_overhead(self, seconds: float) -> None:
        """Take what a trial took beside its epochs: its worker's start, its network, its files."""
        self._overheads_s.append(max(0.0, seconds))

    def left_s(self) -> float:
        """Return the seconds that trials have."""
        return min(self.budget.left_s() - self.reserve_s, self._own.left_s())

    def trial_s(self) -> float | None:
        """Return the seconds until a new trial's first rung; None before anything is measured."""
        epoch_s = self._timings.epoch_s
        if epoch_s is None:
            return None
        return self._first_rung * epoch_s + (median(self._overheads_s) if self._overheads_s else 0.0)

    def may_start(self) -> bool:
        """Whether a new trial can reach its first rung in time; one may while nothing is measured."""
        left_s = self.left_s()
        return left_s > 0 and (math.isinf(left_s) or (self.trial_s() or 0.0) <= left_s)

    def is_over(self) -> bool:
        """Whether running trials are to end: what follows needs the time, or all of it is used.

        Before the first epoch what follows has nothing to go on with, and trials go on to the very end.
        """
        return (self.left_s() if self._usable else min(self.budget.left_s(), self._own.left_s())) <= 0
