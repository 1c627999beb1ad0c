"""Ray Tune's ASHA, with rungs that survive a restart of the driver.

Ray keeps the rungs in memory only and files results under its own trial ids, which change on every
start: after a restart the rungs are empty and weak trials run on. Here results are filed under
foldtune's trial ids, and `replay` fills the rungs from the stored epochs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, TrialScheduler

from foldtune.search.workers.trainable import TRIAL_KEY


@dataclass(frozen=True)
class _RungEntry:
    """What a bracket looks at: an id."""

    trial_id: str


class StartingWorkersMixin:
    """Mixed into a scheduler of Ray Tune: a worker that is still starting keeps its trial, and deaths are noted.

    Ray's own ones name the oldest waiting trial as the next to run. Is that one's worker still starting, it is given
    to whichever worker becomes free first, the new worker is ended before it has done anything, and where trials are
    shorter than the start of a worker the slot of a dead one is never filled again. Without such a name Ray Tune
    gives a free worker to a trial that has none.

    Attributes:
        dead: by foldtune's trial id, Ray's trial whose worker died last.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.dead: dict[str, Trial] = {}

    def choose_trial_to_run(self, tune_controller: Any) -> None:
        """No trial goes before the others."""

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Ray calls this before it tells the searcher."""
        self.dead[trial.config[TRIAL_KEY]] = trial


class FIFO(StartingWorkersMixin, FIFOScheduler):  # type: ignore[misc]
    """Every trial runs to its end."""


class ResumableASHA(StartingWorkersMixin, ASHAScheduler):  # type: ignore[misc]
    """One bracket of asynchronous successive halving (Li et al. 2020) over epochs.

    Args:
        metric: key of the best-so-far value in a result.
        mode: "max" or "min".
        max_epochs: the budget of every trial.
        grace_epochs: no trial is stopped before.
        reduction_factor: about one trial in so many goes on at each rung.
    """

    def __init__(self, metric: str, mode: str, *, max_epochs: int, grace_epochs: int, reduction_factor: float) -> None:
        super().__init__(
            time_attr="epoch",
            metric=metric,
            mode=mode,
            max_t=max_epochs,
            grace_period=grace_epochs,
            reduction_factor=reduction_factor,
        )

    def replay(self, trial_key: str, epochs: Mapping[int, float]) -> bool:
        """File a trial's stored best-so-far values by epoch.

        Returns:
            Whether the last of them stops the trial, judged by what is filed so far.
        """
        decision = str(TrialScheduler.CONTINUE)
        for epoch, value in sorted(epochs.items()):
            decision = self._file(trial_key, epoch, value)
        return decision == str(TrialScheduler.STOP)

    def _file(self, trial_key: str, epoch: int, value: float) -> str:
        if epoch >= self._max_t:  # a trial at its budget says `done` itself
            return str(TrialScheduler.CONTINUE)
        return str(self._brackets[0].on_result(_RungEntry(trial_key), epoch, self._metric_op * value))

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Put the trial into the one bracket; Ray would draw it from the unseeded global generator."""
        self._trial_info[trial.trial_id] = self._brackets[0]

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """STOP where the trial is below the cut of its rung, else CONTINUE."""
        if self._metric not in result:
            return str(TrialScheduler.CONTINUE)
        return self._file(result[TRIAL_KEY], result["epoch"], result[self._metric])

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> None:
        """File the last report, which Ray does not show before where it says `done`, and forget the trial."""
        if self._metric in result:
            self._file(result[TRIAL_KEY], result["epoch"], result[self._metric])
        self._trial_info.pop(trial.trial_id, None)
