"""Ray Tune's ASHA, with rungs that survive a restart of the driver.

Ray keeps the rungs in memory only and files results under its own trial ids, which change on every
start: after a restart the rungs are empty and weak trials run on. Here results are filed under
foldtune's trial ids, and `replay` fills the rungs from the stored epochs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, TrialScheduler

TRIAL_KEY = "trial_key"
"""Key of a result, and of a trial's configuration, that holds foldtune's trial id."""


@dataclass(frozen=True)
class _Filed:
    """What a bracket looks at: an id."""

    trial_id: str


class ResumableASHA(ASHAScheduler):  # type: ignore[misc]
    """One bracket of asynchronous successive halving (Li et al. 2020) over epochs.

    Args:
        metric: key of the best-so-far value in a result.
        mode: "max" or "min".
        max_epochs: the budget of every trial.
        grace_epochs: no trial is stopped before.
        reduction_factor: about one trial in so many goes on at each rung.
    """

    def __init__(
        self, metric: str, mode: str, *, max_epochs: int, grace_epochs: int, reduction_factor: float
    ) -> None:
        super().__init__(
            time_attr="epoch",
            metric=metric,
            mode=mode,
            max_t=max_epochs,
            grace_period=grace_epochs,
            reduction_factor=reduction_factor,
        )

    def replay(self, trial_key: str, epochs: Iterable[tuple[int, float]]) -> None:
        """File the stored epochs of a trial, as (epoch, best-so-far value), in order."""
        for epoch, value in epochs:
            self._brackets[0].on_result(_Filed(trial_key), epoch, self._metric_op * value)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Put the trial into the one bracket; Ray would draw it from the unseeded global generator."""
        self._trial_info[trial.trial_id] = self._brackets[0]

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> str:
        """STOP where the trial is below the cut of its rung, else CONTINUE."""
        if self._metric not in result or result["epoch"] >= self._max_t:
            return str(TrialScheduler.CONTINUE)  # a trial at its budget says `done` itself
        filed = _Filed(result[TRIAL_KEY])
        return str(
            self._brackets[0].on_result(filed, result["epoch"], self._metric_op * result[self._metric])
        )

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: Mapping[str, Any]) -> None:
        """Forget the trial; its last report is filed in the rungs by its own id."""
        if self._metric in result:
            filed = _Filed(result[TRIAL_KEY])
            self._brackets[0].on_result(filed, result["epoch"], self._metric_op * result[self._metric])
        self._trial_info.pop(trial.trial_id, None)
