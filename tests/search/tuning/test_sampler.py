"""Proposals: Optuna's own TPE as the reference, and the bound on the trials it uses."""

from __future__ import annotations

import random
import warnings
from copy import deepcopy

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from foldtune.search.tuning.sampler import MODELLED_TRIALS, make_sampler, modelled
from foldtune.spaces import Space

optuna.logging.set_verbosity(optuna.logging.ERROR)
SPACE = Space.parse(
    {
        "lr": {"loguniform": [1e-5, 1e-1]},
        "loss": {"choice": {"cross_entropy": {"label_smoothing": {"uniform": [0.0, 0.2]}}, "focal": None}},
    }
)


def finished(value: float, *, steps: int = 0) -> FrozenTrial:
    """A complete trial, or one that was stopped after some steps."""
    lr = FloatDistribution(1e-5, 1e-1, log=True)
    found = {"params": {"lr": 1e-3}, "distributions": {"lr": lr}}
    if not steps:
        return create_trial(state=TrialState.COMPLETE, value=value, **found)
    return create_trial(state=TrialState.PRUNED, intermediate_values={steps: value}, **found)


def numbered(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    study = optuna.create_study(direction="maximize")
    study.add_trials(trials)
    return study.get_trials(deepcopy=False)


def study_of(trials: int) -> optuna.Study:
    """Finished trials, every third stopped, with two running."""
    study, rng = optuna.create_study(direction="maximize"), random.Random(0)
    study.sampler = optuna.samplers.RandomSampler(seed=0)
    for number in range(trials + 2):
        trial = study.ask()
        SPACE.suggest(trial)
        if number >= trials:
            continue
        if number % 3:
            study.tell(trial, rng.random())
        else:
            trial.report(rng.random(), 1 + number % 4)
            study.tell(trial, state=TrialState.PRUNED)
    return study


@pytest.mark.parametrize("trials", [2, 40, MODELLED_TRIALS])
def test_proposes_what_plain_tpe_proposes_while_all_trials_are_seen(trials: int) -> None:
    seed = int(np.random.SeedSequence((7, trials)).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=3, multivariate=True, group=True, constant_liar=True
        )
    proposed = []
    for sampler in (make_sampler(7, trials, startup_trials=3), plain):
        study = study_of(trials)
        study.sampler = sampler
        proposed.append(SPACE.suggest(study.ask()))
    assert proposed[0] == proposed[1]


def test_sees_the_best_and_the_latest() -> None:
    values = np.random.default_rng(0).permutation(1000) / 1000
    chosen = modelled(numbered([finished(float(value)) for value in values]), maximise=True)
    assert len(chosen) == MODELLED_TRIALS
    numbers = {trial.number for trial in chosen}
    assert len(numbers) == MODELLED_TRIALS
    best = set(np.argsort(-values)[: MODELLED_TRIALS // 4].tolist())
    assert best <= numbers
    latest = [number for number in range(999, -1, -1) if number not in best][: MODELLED_TRIALS - len(best)]
    assert numbers == best | set(latest)


def test_a_stopped_trial_ranks_below_a_complete_one_and_by_how_far_it_came() -> None:
    filler = [finished(0.5) for _ in range(MODELLED_TRIALS)]
    trials = numbered([finished(0.1), finished(0.9, steps=2), finished(0.2, steps=5), *filler])
    numbers = {trial.number for trial in modelled(trials, maximise=True)}
    assert numbers.isdisjoint({0, 1, 2}), "early, and worse than the 200 after them"
    few = numbered([finished(0.9, steps=1)] * 10 + [finished(0.1)] + [finished(0.2, steps=3)] * MODELLED_TRIALS)
    numbers = {trial.number for trial in modelled(few, maximise=True)}
    assert 10 in numbers, "it is complete"
    assert numbers.isdisjoint(range(10)), "they came less far"


def test_the_smallest_value_is_the_best_where_it_is_minimised() -> None:
    trials = numbered([finished(0.0)] + [finished(1.0)] * MODELLED_TRIALS)
    assert 0 in {trial.number for trial in modelled(trials, maximise=False)}
    assert 0 not in {trial.number for trial in modelled(trials, maximise=True)}


def test_a_large_study_still_proposes_what_it_learnt() -> None:
    study, rng = optuna.create_study(direction="maximize"), np.random.default_rng(0)
    lr = FloatDistribution(1e-5, 1e-1, log=True)
    for exponent in rng.uniform(-5, -1, 3 * MODELLED_TRIALS):
        value = -abs(exponent + 3)  # best at 1e-3
        study.add_trial(
            create_trial(
                value=value, params={"lr": 10.0**exponent}, distributions={"lr": lr}, state=TrialState.COMPLETE
            )
        )
    proposed = []
    for index in range(5):
        study.sampler = make_sampler(0, index, startup_trials=3)
        proposed.append(study.ask({"lr": lr}).params["lr"])
    assert all(abs(np.log10(found) + 3) < 0.2 for found in proposed), proposed


def test_random_draws_do_not_depend_on_the_trials() -> None:
    drawn = []
    for trials in (0, 40, 40):
        study = study_of(trials)
        study.sampler = make_sampler(0, 5 if len(drawn) < 2 else 6, startup_trials=3, is_random=True)
        drawn.append(SPACE.suggest(study.ask()))
    assert drawn[0] == drawn[1] != drawn[2]


def test_trials_of_earlier_runs_are_modelled_as_if_they_were_the_studys_first() -> None:
    earlier = study_of(20)
    known = [trial for trial in earlier.get_trials(deepcopy=False) if trial.state.is_finished()]
    proposed = []
    older = [deepcopy(trial) for trial in known]
    for number, trial in enumerate(older, -len(known)):
        trial.number = number
    for trials, given in ((known, ()), ([], older)):
        study = optuna.create_study(direction="maximize")
        study.add_trials(trials)
        proposed.append([])
        for index in range(3):
            study.sampler = make_sampler(0, index, startup_trials=5, known=given)
            trial = study.ask()
            proposed[-1].append(SPACE.suggest(trial))
            study.tell(trial, 0.5)
    assert proposed[0] == proposed[1]
    assert len(study.get_trials()) == 3, "they are none of its trials"
