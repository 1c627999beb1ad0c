"""Ray Tune's ASHA, with rungs that survive a restart of the driver.

Ray keeps the rungs in memory only and records values under its own trial ids, which change on every start: after a
restart the rungs are empty and weak trials continue. Here values are recorded under foldtune's trial ids, and `replay`
fills the rungs from the stored epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from foldtune.cluster.ray_internals import record_in_bracket
from foldtune.results.records.ranking import Goal
from foldtune.search.config.schema import rung_epochs
from foldtune.search.workers.trainable import TRIAL_KEY

CONTINUE, STOP = str(TrialScheduler.CONTINUE), str(TrialScheduler.STOP)


class StartingWorkersMixin:
    """Mixed into a trial scheduler of Ray Tune: a worker that is still starting keeps its trial; deaths are recorded.

    Ray's own trial schedulers name the oldest waiting trial as the next to run. If its worker is still starting, the
    trial is given to whichever worker becomes free first, and the new worker is ended before it has done anything:
    where trials are shorter than the start of a worker, the slot of a dead one is never filled again. Without such a
    name Ray Tune gives a free worker to a trial that has none.

    Attributes:
        dead: by foldtune's trial id, Ray's trial whose worker died last.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.dead: dict[str, Trial] = {}

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """Return None: no trial goes before the others."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Record a death; Ray calls this before the searcher's `on_trial_complete`."""
        self.dead[trial.config[TRIAL_KEY]] = trial


class FIFO(StartingWorkersMixin, FIFOScheduler):  # type: ignore[misc]
    """Every trial runs to its end."""


class ResumableASHA(StartingWorkersMixin, ASHAScheduler):  # type: ignore[misc]
    """Asynchronous successive halving (Li et al. 2020, https://arxiv.org/abs/1810.05934) over epochs.

    Several brackets are Hyperband's (Li et al. 2018, https://arxiv.org/abs/1603.06560, algorithm 1): the first rung of
    each one is the second of the one before. A bracket with s rungs has a share of the trials that is proportional to
    reduction_factor^s / (s + 1). Ray's own ASHA draws them from the unseeded global generator.

    Args:
        goal: metric, the key of the best-so-far value in a result, and its direction.
        max_epochs: epoch budget of every trial, >= 1.
        grace_epochs: epoch of the first rung, 1 to `max_epochs`: no trial is stopped before.
        reduction_factor: ratio of the epochs of successive rungs, > 1; about one in so many trials passes a rung.
        brackets: number of brackets, from which a trial's is drawn by seed and number: the same after a restart.
        seed: the run's seed.
    """

    def __init__(
        self,
        goal: Goal,
        *,
        max_epochs: int,
        grace_epochs: int,
        reduction_factor: float,
        brackets: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(
            time_attr="epoch",
            metric=goal.metric,
            mode=goal.mode,
            max_t=max_epochs,
            grace_period=grace_epochs,
            reduction_factor=reduction_factor,
            brackets=brackets,
        )
        rungs = len(list(rung_epochs(max_epochs, grace_epochs, reduction_factor)))
        shares = [reduction_factor**s / (s + 1) for s in range(rungs, rungs - brackets, -1)]
        self._shares = np.array(shares) / sum(shares)
        self._seed = seed
        self.goal = goal
        self.max_epochs = max_epochs

    def replay(self, trial_key: str, epochs: Mapping[int, float]) -> bool:
        """Record a trial's stored best-so-far values by epoch; return whether the last of them stops the trial."""
        decision = CONTINUE
        for epoch, value in sorted(epochs.items()):
            decision = self._record(trial_key, epoch, value)
        return decision == STOP

    def _record(self, trial_key: str, epoch: int, value: float) -> str:
        if epoch >= self.max_epochs:  # a trial at its budget reports `done` itself
            return CONTINUE
        return record_in_bracket(self, trial_key, epoch, self.goal.sign * value, self.bracket(trial_key))

    def bracket(self, trial_key: str) -> int:
        """Return the number of a trial's bracket, from 0, by its id: the study's number."""
        if len(self._shares) == 1:
            return 0
        own = np.random.SeedSequence(self._seed, spawn_key=(int(trial_key),))
        return int(np.random.default_rng(own).choice(len(self._shares), p=self._shares))

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Do nothing: Ray would draw a bracket from the unseeded global generator."""

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Do nothing: no bracket is kept for each trial."""

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """Return STOP where the trial is below the cut of its rung, else CONTINUE."""
        if self.goal.metric not in result:
            return CONTINUE
        return self._record(result[TRIAL_KEY], result["epoch"], result[self.goal.metric])

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> None:
        """Record the last report, which Ray does not pass to `on_trial_result` where it has `done`."""
        if self.goal.metric in result:
            self._record(result[TRIAL_KEY], result["epoch"], result[self.goal.metric])
