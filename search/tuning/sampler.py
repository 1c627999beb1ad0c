"""What proposes a run's next trial: Optuna's TPE, whose work for one proposal does not grow with the study."""

from __future__ import annotations

import math
import warnings
from collections.abc import Container, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, TrialState

SEEN_TRIALS = 200
"""Finished trials that TPE models at most: the best quarter of them by value, then the latest.

TPE itself gives the oldest trials the least weight and models no more than 25 as good, so what is left out says little.
"""
_BEST_PART = 4
_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def make_sampler(seed: int, index: int, startup_trials: int) -> TPESampler:
    """The sampler of a run's trial number `index`, counted in stored trials.

    Each trial draws from a generator of its own, so that a resumed search goes on as it would have, and does not
    draw again what it drew at its start.

    Args:
        seed: of the run. The same seed with one worker proposes the same configurations.
        index: trials that the run holds already.
        startup_trials: trials drawn at random before TPE models them.
    """
    own_seed = int(np.random.SeedSequence((seed, index)).generate_state(1)[0])
    with warnings.catch_warnings():
        # `group` has been "experimental" since Optuna 2.8, and conditional spaces need it.
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        return BoundedTPE(
            seed=own_seed, n_startup_trials=startup_trials, multivariate=True, group=True, constant_liar=True
        )


class BoundedTPE(TPESampler):
    """TPE over at most SEEN_TRIALS finished trials and all running ones; made anew for every trial."""

    _seen: _Seen | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Parameters that are drawn together."""
        return super().infer_relative_search_space(self._view(study), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw the parameters of `infer_relative_search_space`."""
        return super().sample_relative(self._view(study), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Draw a parameter that no seen trial has."""
        return super().sample_independent(self._view(study), trial, param_name, param_distribution)

    def _view(self, study: optuna.Study) -> optuna.Study:
        # One look a trial: all its parameters are drawn from what was known at its start.
        if self._seen is None:
            self._seen = _Seen(study)
        return self._seen  # type: ignore[return-value]


class _Seen:
    """A study that shows the sampler some of its trials, and is the study in all else."""

    def __init__(self, study: optuna.Study) -> None:
        self._study = study
        trials = study.get_trials(deepcopy=False, states=(*_FINISHED, TrialState.RUNNING))
        finished = [trial for trial in trials if trial.state in _FINISHED]
        running = [trial for trial in trials if trial.state not in _FINISHED]
        maximise = study.direction == optuna.study.StudyDirection.MAXIMIZE
        self._trials = sorted([*seen(finished, maximise), *running], key=lambda trial: trial.number)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


def seen(finished: Sequence[FrozenTrial], maximise: bool) -> list[FrozenTrial]:
    """The best of the trials and the latest of the rest, SEEN_TRIALS in all.

    Trials that ran to their end are better than stopped ones, and of those the ones that came further, as TPE
    ranks them.
    """
    if len(finished) <= SEEN_TRIALS:
        return list(finished)
    ranked = sorted(finished, key=lambda trial: _rank(trial, maximise))
    best, rest = ranked[: SEEN_TRIALS // _BEST_PART], ranked[SEEN_TRIALS // _BEST_PART :]
    latest = sorted(rest, key=lambda trial: trial.number)[-(SEEN_TRIALS - len(best)) :]
    return [*best, *latest]


def _rank(trial: FrozenTrial, maximise: bool) -> tuple[bool, int, float]:
    if trial.state == TrialState.COMPLETE:
        step, value = 0, trial.value
    else:
        step, value = max(trial.intermediate_values.items(), default=(-1, None))
    worst = math.inf
    cost = worst if value is None or math.isnan(value) else -value if maximise else value
    return trial.state != TrialState.COMPLETE, -step, cost
