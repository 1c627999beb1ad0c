"""Ends workers that say nothing: trials without a report, and what still trains when the search is to stop."""

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

LOOK_EVERY_S = 1.0
STOP_GRACE_S = 3.0
"""Seconds that workers have to finish their epoch once the search is to stop; what they lose is that epoch."""


class Watchdog(Callback):  # type: ignore[misc]
    """Counts from the moment at which a worker takes a trial, and again from each of its reports.

    A trial that waits for room is not counted. An ended worker is a dead one for Ray Tune, which starts another.

    Args:
        timeout_s: seconds without a report after which a trial's worker is killed; None: never.
        stopping: whether the search is to stop.
    """

    def __init__(self, timeout_s: float | None, stopping: Callable[[], bool]) -> None:
        self._timeout_s = timeout_s
        self._stopping = stopping
        self._heard_s: dict[str, float] = {}
        self._workers: dict[str, Any] = {}
        self._looked_s = 0.0
        self._timer: threading.Timer | None = None
        self._silent: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles callbacks into its snapshots, which nobody reads back.
        return {}

    def cause(self, trial_id: str) -> Cause | None:
        """Why a trial's worker died, where it was ended here."""
        if trial_id not in self._silent:
            return None
        return Cause("silent", f"no report for {self._timeout_s:g} s (search.trial_timeout_s), so it was ended")

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A worker took a trial."""
        self._hear(trial)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: Mapping[str, Any], **info: Any
    ) -> None:
        """An epoch ended."""
        self._hear(trial)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """The trial ended."""
        self._forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Its worker died."""
        self._forget(trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Look at the trials, at most once in LOOK_EVERY_S."""
        if self._stopping():
            self._end_soon()
        elif self._timeout_s is not None and time.monotonic() - self._looked_s >= LOOK_EVERY_S:
            self._looked_s = time.monotonic()
            for trial in trials:
                # A trial has a worker before it has started: while the worker leaves its last one.
                if trial.temporary_state.ray_actor is not None and not trial.is_finished():
                    self._look(trial, self._timeout_s)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Nothing is left to end."""
        if self._timer is not None:
            self._timer.cancel()

    def _hear(self, trial: Trial) -> None:
        self._heard_s[trial.trial_id] = time.monotonic()
        self._workers[trial.trial_id] = trial.temporary_state.ray_actor

    def _forget(self, trial: Trial) -> None:
        self._heard_s.pop(trial.trial_id, None)
        self._workers.pop(trial.trial_id, None)

    def _look(self, trial: Trial, timeout_s: float) -> None:
        heard_s = self._heard_s.setdefault(trial.trial_id, time.monotonic())
        if time.monotonic() - heard_s > timeout_s:
            self._silent.add(trial.config[TRIAL_KEY])
            self._heard_s[trial.trial_id] = time.monotonic()  # Ray needs a moment to notice
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
