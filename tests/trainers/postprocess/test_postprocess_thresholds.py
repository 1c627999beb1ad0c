"""Fitted thresholds against reference numbers and brute force, with ties, absent labels and single rows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score, fbeta_score

from foldtune.trainers.postprocess.thresholds import (
    BINARY_TERMS,
    SHRINKAGE,
    Sorted,
    apply_thresholds,
    best_threshold,
    common_and_label_thresholds,
    common_threshold,
    exact_match,
    f_beta,
    micro_f1_thresholds,
    shrink,
    threshold_problems,
)

SCORES = np.array([0.95, 0.9, 0.8, 0.8, 0.7, 0.6, 0.55, 0.4, 0.3, 0.2, 0.1, 0.05])
TARGETS = np.array([1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0])
F1 = f_beta(1.0)
SKLEARN = {
    "accuracy": accuracy_score,
    "f1": lambda y, p: f1_score(y, p, zero_division=0),
    "macro_f1": lambda y, p: f1_score(y, p, labels=[0, 1], average="macro", zero_division=0),
    "balanced_accuracy": lambda y, p: balanced_accuracy_score(y, p),
}


def all_cuts(scores: np.ndarray) -> list[float]:
    """A threshold below all scores, between any two different ones, and above all."""
    levels = np.unique(scores)
    return [levels[0] / 2, *((levels[1:] + levels[:-1]) / 2), (levels[-1] + 1) / 2]


def small_case(seed: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, 0 and 1 among them, and targets; columns may be all 0 or all 1."""
    rng = np.random.default_rng(seed)
    targets = (rng.random(shape) < rng.choice([0.0, 0.3, 0.5, 1.0], shape[1:])).astype(np.int64)
    return rng.integers(0, 9, shape) / 8, targets


@pytest.mark.parametrize(
    ("term", "threshold", "value"),
    [
        (F1, 0.575, 8 / 11),
        (f_beta(2.0), 0.25, 25 / 29),
        (f_beta(0.5), 0.85, 10 / 13),
        (BINARY_TERMS["accuracy"], 0.575, 0.75),
        (BINARY_TERMS["balanced_accuracy"], 0.575, 0.757143),
    ],
)
def test_reference_numbers(term, threshold: float, value: float) -> None:
    found = best_threshold(SCORES, TARGETS, term)
    on = apply_thresholds(SCORES, found)
    assert found == pytest.approx(threshold, abs=1e-12)
    assert term((on & TARGETS).sum(), on.sum(), 5, 12) == pytest.approx(value, abs=1e-6)


@pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label")
@pytest.mark.parametrize("metric", BINARY_TERMS)
@pytest.mark.parametrize("rows", [1, 2, 5, pytest.param(17, marks=pytest.mark.slow)])
def test_one_threshold_is_the_best_of_all_cuts(metric: str, rows: int) -> None:
    for seed in range(25):
        scores, targets = small_case(seed, rows)
        values = [SKLEARN[metric](targets, apply_thresholds(scores, cut)) for cut in all_cuts(scores)]
        found = best_threshold(scores, targets, BINARY_TERMS[metric])
        assert SKLEARN[metric](targets, apply_thresholds(scores, found)) == pytest.approx(max(values))


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_any_f_beta_is_fitted(beta: float) -> None:
    for seed in range(25):
        scores, targets = small_case(seed, 15)
        found = best_threshold(scores, targets, f_beta(beta))
        values = [
            fbeta_score(targets, apply_thresholds(scores, cut), beta=beta, zero_division=0)
            for cut in [found, *all_cuts(scores)]
        ]
        assert values[0] == pytest.approx(max(values))


@pytest.mark.parametrize("value", [0, 1])
def test_all_rows_alike_are_all_answered_alike(value: int) -> None:
    scores = np.array([0.0, 0.3, 0.6, 1.0])
    found = best_threshold(scores, np.full(4, value), BINARY_TERMS["accuracy"])
    assert apply_thresholds(scores, found).tolist() == [value] * 4


def test_the_ends_of_the_range_take_every_score_or_none() -> None:
    scores = np.array([0.0, 0.5, 1.0])
    assert apply_thresholds(scores, 0.0).tolist() == [1, 1, 1]
    assert apply_thresholds(scores, 1.0).tolist() == [0, 0, 0]
    assert apply_thresholds(scores, 0.5).tolist() == [0, 1, 1]


def test_scores_that_differ_by_a_rounding_stay_distinct() -> None:
    low = 0.3
    scores, targets = np.array([low, np.nextafter(low, 1)]), np.array([0, 1])
    assert apply_thresholds(scores, best_threshold(scores, targets, F1)).tolist() == [0, 1]


def test_of_equally_good_thresholds_the_nearest_is_taken() -> None:
    scores, targets = np.array([0.1, 0.4, 0.9]), np.array([1, 0, 1])
    assert best_threshold(scores, targets, BINARY_TERMS["accuracy"], near=0.0) == pytest.approx(0.05)
    assert best_threshold(scores, targets, BINARY_TERMS["accuracy"], near=0.7) == pytest.approx(0.65)


def mean_term(scores: np.ndarray, targets: np.ndarray, term, cut: float) -> float:
    on = apply_thresholds(scores, cut)
    hits, size = (on & targets).sum(axis=1), scores.shape[1]
    return float(term(hits, on.sum(axis=1), targets.sum(axis=1), size).mean())


@pytest.mark.parametrize("term", [F1, exact_match, BINARY_TERMS["balanced_accuracy"]])
@pytest.mark.parametrize("shape", [(1, 1), (1, 6), (4, 3), (12, 5)])
def test_a_common_threshold_is_the_best_of_all_cuts(term, shape: tuple[int, int]) -> None:
    for seed in range(25):
        scores, targets = small_case(seed, *shape)
        values = [mean_term(scores, targets, term, cut) for cut in all_cuts(scores)]
        found = common_threshold(scores, targets, term)
        assert mean_term(scores, targets, term, found) == pytest.approx(max(values))


def test_a_threshold_a_label_is_each_label_s_best() -> None:
    scores, targets = small_case(0, 20, 4)
    thresholds = Sorted.of(scores.T, targets.T).thresholds(F1)
    assert thresholds.tolist() == [best_threshold(scores[:, c], targets[:, c], F1) for c in range(4)]


@pytest.mark.parametrize(("rows", "labels"), [(1, 3), (4, 3), (9, 2), (3, 1)])
def test_thresholds_for_micro_f1_are_the_best_of_all_combinations(rows: int, labels: int) -> None:
    for seed in range(30):
        scores, targets = small_case(seed, rows, labels)
        combinations = itertools.product(*(all_cuts(scores[:, c]) for c in range(labels)))
        found = micro_f1_thresholds(scores, targets)
        values = [micro_f1(scores, targets, np.array(cuts)) for cuts in combinations]
        assert micro_f1(scores, targets, found) == pytest.approx(max(values))


def micro_f1(scores: np.ndarray, targets: np.ndarray, thresholds: np.ndarray) -> float:
    on = apply_thresholds(scores, thresholds)
    return float(2 * (on & targets).sum() / max(on.sum() + targets.sum(), 1))


def test_few_positives_shrink_a_threshold_to_the_common_one() -> None:
    own, positives = np.array([0.9, 0.9, 0.9, 0.9]), np.array([0, 10, 30, 10**9])
    logit_own, logit_common = np.log(0.9 / 0.1), np.log(0.2 / 0.8)
    share = positives / (positives + 10)
    expected = 1 / (1 + np.exp(-(share * logit_own + (1 - share) * logit_common)))
    assert shrink(own, 0.2, positives, 10.0) == pytest.approx(expected)
    assert shrink(own, 0.2, positives, 10.0)[0] == pytest.approx(0.2)
    assert shrink(own, 0.2, positives, 0.0).tolist() == [0.2, 0.9, 0.9, 0.9]


@pytest.mark.parametrize("metric", ["macro_f1", "micro_f1"])
def test_a_label_without_positives_takes_the_common_threshold(metric: str) -> None:
    scores, targets = np.random.default_rng(0).random((30, 3)), np.zeros((30, 3), dtype=np.int64)
    targets[:12, 0], targets[5:9, 2] = 1, 1
    common, own = common_and_label_thresholds(scores, targets, metric)
    assert own is not None
    assert own[1] == pytest.approx(common)
    exact = common_and_label_thresholds(scores, targets, metric, shrinkage=0.0)[1]
    shrunk = shrink(exact, common, targets.sum(axis=0), SHRINKAGE)
    assert own == pytest.approx(shrunk)


@pytest.mark.parametrize("metric", ["samples_f1", "accuracy"])
def test_metrics_of_whole_rows_have_one_threshold(metric: str) -> None:
    scores, targets = small_case(3, 15, 4)
    assert common_and_label_thresholds(scores, targets, metric)[1] is None


def test_shrunk_thresholds_hold_out_better_where_positives_are_few() -> None:
    """Fit on 400 rows, evaluate on 4000: labels with about 6 positives, scores that share one calibration."""
    rng = np.random.default_rng(0)
    gains = []
    for _ in range(12):
        targets = (rng.random((4400, 12)) < 0.015).astype(np.int64)
        scores = 1 / (1 + np.exp(-(rng.normal(size=targets.shape) + 2.5 * targets - 3)))
        values = {}
        for shrinkage in (0.0, SHRINKAGE):
            _, own = common_and_label_thresholds(scores[:400], targets[:400], "macro_f1", shrinkage=shrinkage)
            on = apply_thresholds(scores[400:], own)
            values[shrinkage] = f1_score(targets[400:], on, average="macro", zero_division=0)
        gains.append(values[SHRINKAGE] - values[0.0])
    assert np.mean(gains) > 0.01


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "0.5", True, None])
def test_a_threshold_outside_of_0_to_1_is_refused(value: object) -> None:
    assert [problem.path for problem in threshold_problems("postprocess.threshold", value)] == ["postprocess.threshold"]
    assert threshold_problems("postprocess.threshold", 1) == []
