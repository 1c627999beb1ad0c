"""The sampler of a run's trials: Optuna's TPE, with work for one proposal that does not grow with the study."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from foldtune.search.tuning.optuna_internals import StudyView

MODELLED_TRIALS = 200
"""Maximum number of finished trials that TPE models: the best quarter of them by value, then the latest.

TPE itself gives the oldest trials the least weight and models no more than 25 as good: the others matter little.
"""
_BEST_PART = 4
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def make_sampler(
    seed: int,
    index: int,
    startup_trials: int,
    *,
    is_random: bool = False,
    known: Sequence[FrozenTrial] = (),
) -> BaseSampler:
    """Return the sampler of a run's trial number `index`, counted in stored trials.

    Each trial draws from a generator of its own, so that a resumed search goes on as it would have, and does not
    draw again what it drew at its start.

    Args:
        seed: the run's seed. The same seed with one worker proposes the same configurations.
        index: number of stored trials, >= 0.
        startup_trials: number of trials drawn at random before TPE models them, >= 0.
        is_random: whether all trials are drawn at random.
        known: finished trials of earlier runs, which TPE models before those of the study, start-up trials, too.
    """
    own_seed = int(np.random.SeedSequence((seed, index)).generate_state(1)[0])
    if is_random:
        return RandomSampler(own_seed)
    with warnings.catch_warnings():
        # `group` has been "experimental" since Optuna 2.8, and conditional spaces need it.
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        sampler = BoundedTPE(
            seed=own_seed, n_startup_trials=startup_trials, multivariate=True, group=True, constant_liar=True
        )
    sampler.known = known
    return sampler


class BoundedTPE(TPESampler):
    """TPE over at most MODELLED_TRIALS finished trials and all running ones; made anew for every trial."""

    known: Sequence[FrozenTrial] = ()
    _modelled: StudyView | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the parameters that are drawn together."""
        return super().infer_relative_search_space(self._view(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw the parameters of `infer_relative_search_space`."""
        return super().sample_relative(self._view(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a parameter that no modelled trial has."""
        return super().sample_independent(self._view(study), trial, param_name, param_distribution)

    def _view(self, study: optuna.Study) -> optuna.Study:
        # Once a trial: all its parameters are drawn from the trials known at its start.
        if self._modelled is None:
            self._modelled = _view(study, self.known)
        return self._modelled  # type: ignore[return-value]


def _view(study: optuna.Study, known: Sequence[FrozenTrial]) -> StudyView:
    trials = study.get_trials(deepcopy=False, states=(*_FINISHED, TrialState.RUNNING))
    finished = [*known, *(trial for trial in trials if trial.state in _FINISHED)]
    running = [trial for trial in trials if trial.state not in _FINISHED]
    maximise = study.direction == optuna.study.StudyDirection.MAXIMIZE
    return StudyView(study, sorted([*modelled(finished, maximise), *running], key=lambda trial: trial.number))


def modelled(finished: Sequence[FrozenTrial], maximise: bool) -> list[FrozenTrial]:
    """Return the best of the trials and the latest of the rest, MODELLED_TRIALS in all.

    Trials that ran to their end are better than stopped ones, and of those the ones that came further, as TPE
    ranks them.
    """
    if len(finished) <= MODELLED_TRIALS:
        return list(finished)
    ranked = sorted(finished, key=lambda trial: _rank(trial, maximise))
    best, rest = ranked[: MODELLED_TRIALS // _BEST_PART], ranked[MODELLED_TRIALS // _BEST_PART :]
    latest = sorted(rest, key=lambda trial: trial.number)[-(MODELLED_TRIALS - len(best)) :]
    return [*best, *latest]


def _rank(trial: FrozenTrial, maximise: bool) -> tuple[bool, int, float]:
    if trial.state == TrialState.COMPLETE:
        step, value = 0, trial.value
    else:
        step, value = max(trial.intermediate_values.items(), default=(-1, None))
    worst = math.inf
    cost = worst if value is None or math.isnan(value) else -value if maximise else value
    return trial.state != TrialState.COMPLETE, -step, cost
