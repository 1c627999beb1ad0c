"""One trial in a Ray worker: `search.workers.training` epoch by epoch, each epoch on disk before its report to Ray.

A class Trainable with `reset_config`, because workers are reused between trials: a cold worker spends
seconds on imports. Failures of a trial are results, not exceptions, since Ray would retry an exception;
what is left is the death of the process, and then the trial goes on from its checkpoint in another worker.

This module imports nothing heavy, so that a worker counts as started within a second.
"""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ray import tune

from foldtune.search.workers.surroundings import MAX_FAILURES, SURROUNDINGS_KEY, is_surroundings, pause_s

if TYPE_CHECKING:
    from foldtune.results.runs.trial_dir import TrialDir
    from foldtune.search.workers.training import TrialWork
    from foldtune.trainers.fitting.fit import EpochReport, Fit
    from foldtune.trainers.fitting.worker_pool import WorkerPool

TRIAL_KEY = "trial_key"
"""Key of a result, and of a trial's configuration, that holds foldtune's trial id."""
HALVINGS_KEY = "halvings"
"""Key of a trial's configuration: how often to halve the micro-batch before it goes on."""


class TrialTrainable(tune.Trainable):  # type: ignore[misc]
    """Trains one configuration; `step` is one epoch."""

    _failures = 0
    """Failures in a row that were not the trials'."""

    def setup(self, config: Mapping[str, Any], work: bytes) -> None:
        """Called once a worker process, with its first trial and the pickled `TrialWork`."""
        self._packed = work
        self._work: TrialWork | None = None
        self._pool: WorkerPool | None = None
        self._begin(config)

    def reset_config(self, new_config: Mapping[str, Any]) -> bool:
        """Take the next trial in the same process; the last one's model is freed first.

        After several failures that were not the trials' the process ends instead: the trial goes to another one.
        """
        if self._failures >= MAX_FAILURES:
            self.cleanup()
            os._exit(1)
        self._release()
        self._begin(new_config)
        return True

    def cleanup(self) -> None:
        """Free the model and the GPU's cache, and end the processes that trained with this one."""
        self._release()
        if self._pool is not None:
            self._pool.close()

    def _begin(self, config: Mapping[str, Any]) -> None:
        # Built in the first step, so that what fails there is a result with its reason.
        self._key = config[TRIAL_KEY]
        self._halvings = config.get(HALVINGS_KEY, 0)
        self._fit: Fit | None = None

    def _release(self) -> None:
        if self._fit is not None:
            self._fit.close()
            self._fit = None

    def _train_epoch(self, work: TrialWork, directory: TrialDir) -> tuple[Fit, EpochReport]:
        """Train one epoch; where a process runs out of memory in it, again from the checkpoint in smaller parts."""
        from foldtune.errors import MemoryExhausted
        from foldtune.search.workers.training import open_fit, worker_pool

        while True:
            if self._fit is None:
                self._pool = self._pool or worker_pool(work)
                self._fit = open_fit(work, directory, halvings=self._halvings, pool=self._pool)
            try:
                report = self._fit.step()
            except MemoryExhausted:
                self._release()
                self._halvings += 1
            else:
                self._halvings = 0  # the next checkpoint has the smaller size
                return self._fit, report

    def step(self) -> dict[str, Any]:
        """Train one epoch and store it; a failure is a result with `error`."""
        from foldtune.errors import ProcessLost, StorageError
        from foldtune.results.runs.store import RunStore
        from foldtune.search.workers.training import short_reason, store_epoch, whole_reason

        if self._work is None:
            self._work = pickle.loads(self._packed)
        work = self._work
        directory = RunStore(work.root).trial(self._key)
        try:
            fit, report = self._train_epoch(work, directory)
            store_epoch(directory, fit, report)
        except Exception as error:
            with suppress(OSError, StorageError):
                directory.write_error(whole_reason(error))
            if isinstance(error, ProcessLost):
                raise  # as though this process had died
            failed = {TRIAL_KEY: self._key, "error": short_reason(error), "done": True}
            if not is_surroundings(error):
                return failed
            self._failures += 1
            time.sleep(pause_s(self._failures))
            return {**failed, SURROUNDINGS_KEY: True}
        self._failures = 0
        return {
            TRIAL_KEY: self._key,
            "epoch": report.epoch,
            work.metric: report.best_value,
            "done": report.done,
            # Ray sets `done` for a trial that it stops, too.
            "finished": report.done,
        }
