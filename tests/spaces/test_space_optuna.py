"""Spaces in real Optuna studies."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from scipy import stats

from foldtune.spaces import Space

optuna.logging.set_verbosity(optuna.logging.WARNING)
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

CONDITIONAL = Space.parse(
    {
        "lr": {"loguniform": [1e-5, 1e-1]},
        "drop_rate": {"uniform": [0.0, 0.5], "step": 0.05},
        "batch_size": {"logint": [8, 64]},
        "warmup_epochs": {"int": [0, 3]},
        "pretrained": {"choice": [True, False]},
        "loss": {
            "choice": {
                "cross_entropy": {"label_smoothing": {"uniform": [0.0, 0.2]}},
                "focal": {
                    "gamma": {"uniform": [0.0, 3.0]},
                    "weights": {"choice": {"none": None, "power": {"power": {"uniform": [0.0, 1.0]}}}},
                },
                "plain": None,
            }
        },
    }
)
BRANCH_NAMES = {
    "cross_entropy": {"loss.cross_entropy.label_smoothing"},
    "focal": {"loss.focal.gamma", "loss.focal.weights"},
    "plain": set(),
}


def tpe(seed: int = 0) -> optuna.samplers.TPESampler:
    return optuna.samplers.TPESampler(group=True, multivariate=True, constant_liar=True, seed=seed, n_startup_trials=15)


def run_study(space: Space, n: int, seed: int = 0) -> list[dict[str, Any]]:
    study = optuna.create_study(sampler=tpe(seed))
    proposals = []
    for _ in range(n):
        trial = study.ask()
        params = space.suggest(trial)
        assert trial.params == params  # what the study stores is what the space gives
        study.tell(trial, sum(v for v in params.values() if isinstance(v, float)))
        proposals.append(params)
    return proposals


@pytest.fixture(scope="module")
def proposals() -> list[dict[str, Any]]:
    return run_study(CONDITIONAL, 60)


def test_proposals_lie_in_their_ranges(proposals: list[dict[str, Any]]) -> None:
    for params in proposals:
        assert 1e-5 <= params["lr"] <= 1e-1
        assert params["drop_rate"] / 0.05 == pytest.approx(round(params["drop_rate"] / 0.05))
        assert params["batch_size"] in range(8, 65)
        assert params["warmup_epochs"] in range(4)
        assert 0.0 <= params.get("loss.focal.gamma", 0.0) <= 3.0
        CONDITIONAL.build(params)  # admits every proposal


def test_parameters_of_a_branch_appear_only_in_it(proposals: list[dict[str, Any]]) -> None:
    always = {"lr", "drop_rate", "batch_size", "warmup_epochs", "pretrained", "loss"}
    for params in proposals:
        expected = always | BRANCH_NAMES[params["loss"]]
        if params.get("loss.focal.weights") == "power":
            expected = expected | {"loss.focal.weights.power.power"}
        assert set(params) == expected
    assert {params["loss"] for params in proposals} == set(BRANCH_NAMES)
    assert {params.get("loss.focal.weights") for params in proposals} == {None, "none", "power"}


def test_the_same_seed_proposes_the_same(proposals: list[dict[str, Any]]) -> None:
    assert run_study(CONDITIONAL, 30) == proposals[:30]
    assert run_study(CONDITIONAL, 5, seed=1) != proposals[:5]


def test_every_default_and_corner_case_can_be_enqueued(recwarn: pytest.WarningsRecorder) -> None:
    study = optuna.create_study(sampler=tpe())
    cases = [params for _, params in CONDITIONAL.corner_cases()]
    for params in cases:
        study.enqueue_trial(params)
    for params in cases:
        trial = study.ask()
        assert CONDITIONAL.suggest(trial) == params
        study.tell(trial, 0.0)
    assert [w for w in recwarn if "out of range" in str(w.message)] == []


def test_distributions_are_those_of_the_trials() -> None:
    study = optuna.create_study(sampler=tpe())
    distributions = CONDITIONAL.distributions()
    seen: dict[str, object] = {}
    for _ in range(40):
        trial = study.ask()
        CONDITIONAL.suggest(trial)
        seen |= study.tell(trial, 0.0).distributions
    assert seen == distributions
    assert tuple(distributions) == CONDITIONAL.names()


def test_distributions_by_hand() -> None:
    space = Space.parse(
        {
            "a": {"uniform": [0, 1], "step": 0.25},
            "b": {"loguniform": [1e-3, 1]},
            "c": {"int": [1, 9], "step": 2},
            "d": {"logint": [1, 9]},
            "e": {"choice": [None, 1, "x"]},
            "f": {"choice": {"g": None, "h": None}},
        }
    )
    assert space.distributions() == {
        "a": FloatDistribution(0.0, 1.0, step=0.25),
        "b": FloatDistribution(1e-3, 1.0, log=True),
        "c": IntDistribution(1, 9, step=2),
        "d": IntDistribution(1, 9, log=True),
        "e": CategoricalDistribution((None, 1, "x")),
        "f": CategoricalDistribution(("g", "h")),
    }


def random_values(leaf: dict[str, object], n: int) -> list[Any]:
    space = Space.parse({"x": leaf})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [space.suggest(study.ask())["x"] for _ in range(n)]


def evenness(values: Any, low: float, high: float) -> float:
    """p-value of the hypothesis that the values are uniform from low to high."""
    return float(stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue)


def test_uniform_draws_are_even_and_loguniform_ones_in_the_logarithm() -> None:
    low, high = 1e-4, 1e-1
    plain = np.array(random_values({"uniform": [low, high]}, 500))
    log = np.array(random_values({"loguniform": [low, high]}, 500))
    assert evenness(plain, low, high) > 0.01
    assert evenness(np.log(log), math.log(low), math.log(high)) > 0.01
    assert evenness(log, low, high) < 1e-6  # the test separates the two
    assert evenness(np.log(plain), math.log(low), math.log(high)) < 1e-6


def test_integer_bounds_are_both_drawn_evenly() -> None:
    counts = Counter(random_values({"int": [3, 6]}, 400))
    assert set(counts) == {3, 4, 5, 6}
    assert stats.chisquare(list(counts.values())).pvalue > 0.01
    assert set(random_values({"int": [1, 7], "step": 3}, 60)) == {1, 4, 7}


def test_log_integers_reach_both_bounds_and_favour_the_small() -> None:
    counts = Counter(random_values({"logint": [1, 8]}, 500))
    assert set(counts) == set(range(1, 9))
    assert counts[1] > 3 * counts[8]


def test_sampling_needs_no_more_than_the_trial() -> None:
    params = {"lr": 1e-3, "drop_rate": 0.1, "batch_size": 8, "warmup_epochs": 0, "pretrained": False}
    params |= {"loss": "plain"}
    assert CONDITIONAL.suggest(optuna.trial.FixedTrial(params)) == params
