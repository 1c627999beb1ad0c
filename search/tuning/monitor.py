"""What is going on in a search, for whoever shows it: a plain state that Ray's callback keeps current."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ray.tune import Callback

from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import TrialRecord
from foldtune.search.planning.budget import Budget
from foldtune.search.planning.search_time import SearchTime
from foldtune.search.workers.trainable import TRIAL_KEY


@dataclass
class Running:
    """A trial in training."""

    trial_id: str
    epoch: int = 0
    value: float | None = None
    started_s: float = field(default_factory=time.monotonic)


@dataclass
class SearchState:
    """Counts, running trials and the best value so far.

    Attributes:
        total: number of trials of the whole search; `finished_before` of them ended in earlier sessions.
        started_s: `time.monotonic()` at the start of this session.
        first_epoch_s: `time.monotonic()` at the end of its first epoch, which excludes the start of workers.
        time: time that the search has.
    """

    goal: Goal
    total: int
    max_epochs: int
    finished_before: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    running: dict[str, Running] = field(default_factory=dict)
    best: tuple[str, float] | None = None
    started_s: float = field(default_factory=time.monotonic)
    first_epoch_s: float | None = None
    time: SearchTime = field(default_factory=lambda: SearchTime(Budget(), 1))

    @property
    def finished(self) -> int:
        """Number of trials that ended, in this session or before."""
        return sum(self.counts.values())

    def count(self, record: TrialRecord) -> None:
        """Take a finished trial into the counts and the best."""
        self.counts[record.status] = self.counts.get(record.status, 0) + 1
        value = record.metrics.get(self.goal.metric)
        if record.status != "FAIL" and value is not None:
            self.consider(record.trial_id, value)

    def consider(self, trial_id: str, value: float) -> None:
        """Take a value as the best where it is."""
        # Of equal values the first trial's, as in the leaderboard, whichever ended first.
        ties = self.best is not None and value == self.best[1] and trial_id < self.best[0]
        if self.best is None or ties or self.goal.better(value, self.best[1]):
            self.best = (trial_id, value)

    def remaining_s(self) -> float | None:
        """Return the expected remaining seconds at the pace of this session, at most those of the time that it has.

        None before its first trial ended, where there is no limit.
        """
        left_s = self.time.left_s()
        ended = self.finished - self.finished_before
        if ended >= 1 and self.first_epoch_s is not None:
            pace_s = (time.monotonic() - self.first_epoch_s) / ended
            left_s = min(left_s, pace_s * (self.total - self.finished))
        return max(0.0, left_s) if math.isfinite(left_s) else None


class Observer(Protocol):
    """Shows a search. Called in the driver between Ray's events, so it must be quick."""

    def on_finished(self, state: SearchState, record: TrialRecord) -> None:
        """Show the end of a trial."""

    def on_epoch(self, state: SearchState, trial_id: str) -> None:
        """Show an epoch of a running trial."""

    def on_interrupt(self) -> None:
        """Show that the search is stopping; called in a signal handler."""


class Monitor(Callback):  # type: ignore[misc]
    """Keeps a SearchState current from Ray Tune's events; calls `on_epoch` before the observer."""

    def __init__(self, state: SearchState, observer: Observer, on_epoch: Callable[[], None] = lambda: None) -> None:
        self.state = state
        self._observer, self._on_epoch = observer, on_epoch

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles callbacks into its snapshots; a terminal cannot be pickled, and nobody reads them back.
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Add a trial that a worker began."""
        key = trial.config[TRIAL_KEY]
        self.state.running.setdefault(key, Running(key))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Mapping[str, Any], **info: Any
    ) -> None:
        """An epoch, or the failure, of a trial."""
        key = result[TRIAL_KEY]
        value = result.get(self.state.goal.metric)
        if value is None:
            return
        running = self.state.running.setdefault(key, Running(key))
        running.epoch, running.value = int(result["epoch"]), value
        self.state.first_epoch_s = self.state.first_epoch_s or time.monotonic()
        self.state.consider(key, value)
        self._on_epoch()
        self._observer.on_epoch(self.state, key)

    def finished(self, record: TrialRecord) -> None:
        """Count a trial whose outcome the recorder wrote."""
        self.state.running.pop(record.trial_id, None)
        self.state.count(record)
        self._observer.on_finished(self.state, record)
