"""Ends workers of trials without a report, and those that still train when the search is to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import ray
from ray.tune import Callback
from ray.tune.experiment import Trial

from foldtune.search.faults.worker_deaths import Cause
from foldtune.search.workers.trainable import TRIAL_KEY

CHECK_INTERVAL_S = 1.0
STOP_GRACE_S = 3.0
"""Seconds for workers to finish their epoch once the search is to stop; a worker loses that epoch at most."""


class Watchdog(Callback):  # type: ignore[misc]
    """Kills the worker of a trial that has not reported since its start or its last report.

    A trial that waits for resources has no timeout. For Ray Tune a killed worker is a dead one; it starts another.

    Args:
        timeout_s: seconds without a report after which a trial's worker is killed, > 0; None for no timeout.
        stopping: callback that returns whether the search is to stop.
    """

    def __init__(self, timeout_s: float | None, stopping: Callable[[], bool]) -> None:
        self._timeout_s = timeout_s
        self._stopping = stopping
        self._reported_at_s: dict[str, float] = {}
        self._workers: dict[str, Any] = {}
        self._checked_at_s = 0.0
        self._timer: threading.Timer | None = None
        self._timed_out: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles callbacks into its snapshots, which are never read back.
        return {}

    def cause(self, trial_id: str) -> Cause | None:
        """Return the cause of a death where the watchdog killed the trial's worker, else None."""
        if trial_id not in self._timed_out:
            return None
        return Cause("timeout", f"no report for {self._timeout_s:g} s (search.trial_timeout_s), so it was ended")

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Start the timeout of a trial."""
        self._note_report(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: Mapping[str, Any], **info: Any
    ) -> None:
        """Restart the timeout after an epoch."""
        self._note_report(trial)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """End the timeout of a finished trial."""
        self._forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """End the timeout of a trial whose worker died."""
        self._forget(trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Check the trials, at most once in CHECK_INTERVAL_S."""
        if self._stopping():
            self._end_soon()
        elif self._timeout_s is not None and time.monotonic() - self._checked_at_s >= CHECK_INTERVAL_S:
            self._checked_at_s = time.monotonic()
            for trial in trials:
                # A trial has a worker before it has started: while the worker leaves its last one.
                if trial.temporary_state.ray_actor is not None and not trial.is_finished():
                    self._check(trial, self._timeout_s)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Cancel the kill of workers that is due."""
        if self._timer is not None:
            self._timer.cancel()

    def _note_report(self, trial: Trial) -> None:
        self._reported_at_s[trial.trial_id] = time.monotonic()
        self._workers[trial.trial_id] = trial.temporary_state.ray_actor

    def _forget(self, trial: Trial) -> None:
        self._reported_at_s.pop(trial.trial_id, None)
        self._workers.pop(trial.trial_id, None)

    def _check(self, trial: Trial, timeout_s: float) -> None:
        reported_at_s = self._reported_at_s.setdefault(trial.trial_id, time.monotonic())
        if time.monotonic() - reported_at_s > timeout_s:
            self._timed_out.add(trial.config[TRIAL_KEY])
            self._reported_at_s[trial.trial_id] = time.monotonic()  # Ray needs a moment to notice
            _kill([trial.temporary_state.ray_actor])

    def _end_soon(self) -> None:
        # By itself Ray Tune waits 15 s for an epoch to end.
        if self._timer is None:
            self._timer = threading.Timer(STOP_GRACE_S, _kill, [list(self._workers.values())])
            self._timer.daemon = True
            self._timer.start()


def _kill(workers: list[Any]) -> None:
    for worker in workers:
        with suppress(Exception):  # it ended, or Ray did
            ray.kill(worker)
