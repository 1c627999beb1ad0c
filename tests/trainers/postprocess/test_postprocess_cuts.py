from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from foldtune.trainers.metrics.classification import ORDINAL_METRICS, confusion_matrix
from foldtune.trainers.postprocess import cuts as cuts_module
from foldtune.trainers.postprocess.cuts import (
    apply_cuts,
    expected_levels,
    fit_cuts,
    make_blocks,
    rounding_cuts,
)

METRICS = sorted(ORDINAL_METRICS)


def metric_of_cuts(levels: np.ndarray, targets: np.ndarray, metric: str, cuts: np.ndarray) -> float:
    return ORDINAL_METRICS[metric](confusion_matrix(targets, apply_cuts(levels, cuts), len(cuts) + 1))


def brute_force(levels: np.ndarray, targets: np.ndarray, metric: str, num_levels: int) -> float:
    """The best value over all ways to place the cuts between distinct levels."""
    distinct = np.unique(levels)
    places = [-9.0, *(distinct[1:] + distinct[:-1]) / 2, 9.0]
    ways = itertools.combinations_with_replacement(places, num_levels - 1)
    values = [metric_of_cuts(levels, targets, metric, np.array(way)) for way in ways]
    return min(values) if metric == "mae" else max(values)


def case(seed: int, n: int, num_levels: int) -> tuple[np.ndarray, np.ndarray]:
    """Levels with ties, and targets among which some may be absent."""
    rng = np.random.default_rng([seed, n, num_levels])
    targets = rng.integers(0, num_levels, n)
    return (targets * 0.5 + rng.normal(1.0, 0.8, n)).clip(0, num_levels - 1).round(1), targets


def test_the_published_example() -> None:
    levels = np.array([0.1, 0.4, 0.6, 0.9, 1.1, 1.4, 1.6, 2.2, 2.4, 2.9])
    targets = np.array([0, 0, 1, 0, 1, 2, 1, 2, 3, 3])
    cuts = fit_cuts(levels, targets, "qwk", 4)
    assert cuts == pytest.approx([1.0, 1.25, 2.3])
    assert metric_of_cuts(levels, targets, "qwk", cuts) == pytest.approx(0.923664, abs=1e-5)
    assert metric_of_cuts(levels, targets, "qwk", rounding_cuts(4)) == pytest.approx(0.801980, abs=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "num_levels"), [(1, 2), (1, 4), (2, 3), (5, 5), (12, 2), (12, 3), (14, 4)])
def test_no_way_to_cut_is_better(metric: str, n: int, num_levels: int) -> None:
    for seed in range(8):
        levels, targets = case(seed, n, num_levels)
        fitted = fit_cuts(levels, targets, metric, num_levels)
        assert (np.diff(fitted) >= 0).all()
        value = metric_of_cuts(levels, targets, metric, fitted)
        assert value == pytest.approx(brute_force(levels, targets, metric, num_levels), abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("level", [0, 1, 3])
def test_rows_of_one_level_are_all_predicted_right(metric: str, level: int) -> None:
    levels = np.array([0.0, 1.2, 3.0])
    cuts = fit_cuts(levels, np.full(3, level), metric, 4)
    if metric == "adjacent_accuracy":  # a neighbour is as good
        assert (np.abs(apply_cuts(levels, cuts) - level) <= 1).all()
    else:
        assert (apply_cuts(levels, cuts) == level).all()


@pytest.mark.parametrize("metric", METRICS)
def test_the_order_of_rows_does_not_matter(metric: str) -> None:
    levels, targets = case(0, 60, 5)
    order = np.random.default_rng(1).permutation(60)
    assert np.array_equal(fit_cuts(levels, targets, metric, 5), fit_cuts(levels[order], targets[order], metric, 5))


def test_levels_that_differ_by_rounding_are_never_parted() -> None:
    levels = np.array([1.0, 1.0 + 1e-12, 1.0 - 1e-12, 2.0])
    cuts = fit_cuts(levels, np.array([0, 1, 0, 2]), "accuracy", 3)
    assert len(set(apply_cuts(levels[:3], cuts).tolist())) == 1


def test_blocks_join_runs_of_one_target_and_keep_ties_together() -> None:
    levels = np.array([0.1, 0.2, 0.3, 0.5, 0.5, 0.9])
    blocks = make_blocks(levels, np.array([0, 0, 1, 1, 0, 0]), 2)
    assert blocks.counts.tolist() == [[2, 0], [0, 1], [1, 1], [1, 0]]
    assert blocks.places == pytest.approx([-0.45, 0.25, 0.4, 0.7, 1.45])


def test_a_level_on_a_cut_is_above_it_and_between_equal_cuts_is_no_level() -> None:
    levels = np.array([0.0, 0.5, 1.0, 1.9])
    assert apply_cuts(levels, np.array([0.5, 1.5])).tolist() == [0, 1, 1, 2]
    assert apply_cuts(levels, np.array([1.0, 1.0])).tolist() == [0, 0, 2, 2]


def test_the_expected_level_is_the_mean_and_forgives_sums_beside_one() -> None:
    scores = np.array([[0.2, 0.3, 0.5], [0.4, 0.6, 1.0]], dtype=np.float32)
    assert expected_levels(scores) == pytest.approx([1.3, 1.3])


def test_macro_f1_among_many_rows_is_fitted_on_chosen_places(monkeypatch: pytest.MonkeyPatch) -> None:
    levels, targets = case(3, 600, 4)
    levels = levels + np.random.default_rng(0).normal(size=600) * 0.05
    exact = metric_of_cuts(levels, targets, "macro_f1", fit_cuts(levels, targets, "macro_f1", 4))
    monkeypatch.setattr(cuts_module, "MAX_BLOCKS", 100)
    fitted = fit_cuts(levels, targets, "macro_f1", 4)
    assert (np.diff(fitted) >= 0).all()
    assert exact - 0.02 <= metric_of_cuts(levels, targets, "macro_f1", fitted) <= exact


def test_a_fit_of_a_thousand_rows_costs_milliseconds() -> None:
    levels, targets = case(0, 1000, 5)
    levels = levels + np.random.default_rng(0).normal(size=1000)
    started = time.perf_counter()
    fit_cuts(levels, targets, "qwk", 5)
    assert time.perf_counter() - started < 0.1
