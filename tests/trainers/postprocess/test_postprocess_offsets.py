from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from foldtune.trainers.metrics.classification import COUNT_METRICS
from foldtune.trainers.postprocess.offsets import (
    Coordinate,
    best_cut,
    coordinate_ascent,
    fit_offsets,
    fit_prior_power,
    log_scores,
    metric_at,
)

METRICS = sorted(COUNT_METRICS)


def small_case(seed: int, n: int, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log scores with many ties, targets in which classes may be absent, and offsets to start from."""
    rng = np.random.default_rng([seed, n, classes])
    logs = log_scores(rng.dirichlet(np.ones(classes), n).round(1))
    return logs, rng.integers(0, classes, n), rng.normal(size=classes).round(1)


def reference(logs: np.ndarray, targets: np.ndarray, metric: str, offsets: np.ndarray) -> float:
    """The metric by hand, a class after the other: scikit-learn takes milliseconds a call, for thousands of calls."""
    predictions = (logs + offsets).argmax(axis=1)
    hits, given, taken = (
        np.bincount(each, minlength=logs.shape[1]) for each in (targets[predictions == targets], targets, predictions)
    )
    if metric == "macro_f1":
        return float(np.mean(2 * hits / np.maximum(given + taken, 1)))
    if metric == "balanced_accuracy":
        return float(np.mean(hits[given > 0] / given[given > 0]))
    return float(hits.sum() / len(targets))


def of_scikit_learn(logs: np.ndarray, targets: np.ndarray, metric: str, offsets: np.ndarray) -> float:
    predictions = (logs + offsets).argmax(axis=1)
    if metric == "macro_f1":
        options = {"labels": range(logs.shape[1]), "zero_division": 0}
        return float(f1_score(targets, predictions, average="macro", **options))
    if metric == "balanced_accuracy":
        return float(recall_score(targets, predictions, labels=np.unique(targets), average="macro"))
    return float((predictions == targets).mean())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "classes"), [(1, 4), (2, 3), (12, 3), (25, 5)])
def test_the_reference_is_scikit_learns(metric: str, n: int, classes: int) -> None:
    case = small_case(0, n, classes)
    assert reference(*case[:2], metric, case[2]) == pytest.approx(of_scikit_learn(*case[:2], metric, case[2]))


def brute_force(logs: np.ndarray, targets: np.ndarray, metric: str, offsets: np.ndarray, index: int) -> float:
    """The best value over all cuts of one coordinate, each tried in full."""
    others = np.delete(logs + offsets, index, axis=1).max(axis=1)
    margins = np.unique((others - logs[:, index]).round(9))
    cuts = [margins[0] - 1, *(margins[1:] + margins[:-1]) / 2, margins[-1] + 1]
    trials = [offsets + (cut - offsets[index]) * np.eye(len(offsets))[index] for cut in cuts]
    return max(reference(logs, targets, metric, trial) for trial in trials)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("n", "classes"), [(1, 2), (1, 4), (2, 3), (7, 2), (12, 3), pytest.param(25, 5, marks=pytest.mark.slow)]
)
def test_a_cut_is_the_best_of_all_cuts(metric: str, n: int, classes: int) -> None:
    for seed in range(8):
        logs, targets, offsets = small_case(seed, n, classes)
        for index in range(classes):
            others = logs + offsets
            others[:, index] = -np.inf
            margins, rivals = others.max(axis=1) - logs[:, index], others.argmax(axis=1)
            cut, value = best_cut(Coordinate(index, rivals, margins), targets, metric, classes, offsets[index])
            moved = np.where(np.arange(classes) == index, cut, offsets)
            assert value == pytest.approx(brute_force(logs, targets, metric, offsets, index), abs=1e-9)
            assert reference(logs, targets, metric, moved) == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("metric", METRICS)
def test_the_ascent_ends_where_no_coordinate_can_be_improved(metric: str) -> None:
    for seed in range(10):
        logs, targets, _ = small_case(seed, 20, 4)
        offsets = coordinate_ascent(logs, targets, metric)
        value = metric_at(logs, targets, metric, offsets)
        assert value >= metric_at(logs, targets, metric, np.zeros(4))
        for index in np.unique(targets):
            assert brute_force(logs, targets, metric, offsets, index) <= value + 1e-9


@pytest.mark.parametrize("metric", METRICS)
def test_of_two_classes_the_ascent_finds_the_global_optimum(metric: str) -> None:
    for seed in range(10):
        logs, targets, _ = small_case(seed, 15, 2)
        best = brute_force(logs, targets, metric, np.zeros(2), 0)
        value = metric_at(logs, targets, metric, coordinate_ascent(logs, targets, metric))
        start = metric_at(logs, targets, metric, np.zeros(2))  # all ties to class 0: not a cut of its own
        assert value == pytest.approx(max(best, start))


def test_of_three_classes_the_ascent_comes_near_the_global_optimum() -> None:
    shortfalls = []
    for seed in range(12):
        logs, targets, _ = small_case(seed, 12, 3)
        grid = np.arange(-3, 3.01, 0.15)
        trials = (np.array([0.0, b, c]) for b, c in itertools.product(grid, grid))
        best = max(metric_at(logs, targets, "macro_f1", trial) for trial in trials)
        offsets = coordinate_ascent(logs, targets, "macro_f1")
        shortfalls.append(best - metric_at(logs, targets, "macro_f1", offsets))
    assert np.mean(shortfalls) < 0.03


def test_nothing_moves_where_nothing_is_to_gain() -> None:
    logs = log_scores(np.array([[0.9, 0.1], [0.2, 0.8]]))
    start = np.array([0.1, -0.1])
    assert coordinate_ascent(logs, np.array([0, 1]), "accuracy", start=start).tolist() == start.tolist()


def test_of_equal_optima_the_nearest_is_taken() -> None:
    coordinate, targets = Coordinate(0, np.array([1, 1, 1]), np.array([0.0, 1.0, 2.0])), np.array([0, 0, 1])
    assert best_cut(coordinate, targets, "accuracy", 2, 9.0) == (1.5, 1.0)
    targets = np.array([0, 1, 0])  # the first row alone, or all three
    assert best_cut(coordinate, targets, "accuracy", 2, 0.4)[0] == 0.5
    assert best_cut(coordinate, targets, "accuracy", 2, 2.4)[0] == 3.0


def test_the_power_of_the_prior_is_recovered() -> None:
    """Scores of the true posterior: for balanced accuracy the best rule divides by the prior, tau = 1."""
    rng = np.random.default_rng(0)
    prior = np.array([0.8, 0.15, 0.05])
    targets = rng.choice(3, 20000, p=prior)
    features = rng.normal(size=(20000, 3)) + 1.5 * np.eye(3)[targets]
    logs = 1.5 * features + np.log(prior)
    tau = fit_prior_power(logs, targets, "balanced_accuracy", np.log(prior))
    assert tau == pytest.approx(1.0, abs=0.15)
    assert fit_prior_power(logs, targets, "accuracy", np.log(prior)) == pytest.approx(0.0, abs=0.15)


@pytest.mark.parametrize("metric", METRICS)
def test_fitted_offsets_are_finite_centred_and_never_worse_on_their_rows(metric: str) -> None:
    for seed, (n, classes) in itertools.product(range(10), [(1, 3), (5, 4), (40, 3)]):
        logs, targets, _ = small_case(seed, n, classes)
        offsets = fit_offsets(np.exp(logs), targets, metric, np.log(np.full(classes, 1 / classes)))
        before = metric_at(logs, targets, metric, np.zeros(classes))
        assert np.isfinite(offsets).all()
        assert offsets.mean() == pytest.approx(0)
        assert metric_at(logs, targets, metric, offsets) >= before - 1e-12


def test_fitted_offsets_are_half_the_ascent_and_half_the_prior() -> None:
    rng = np.random.default_rng(3)
    prior = np.array([0.7, 0.2, 0.1])
    targets = rng.choice(3, 300, p=prior)
    logits = rng.normal(size=(300, 3)) + np.eye(3)[targets] + np.log(prior)
    scores = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    logs = log_scores(scores)
    ascent = coordinate_ascent(logs, targets, "balanced_accuracy")
    adjustment = -fit_prior_power(logs, targets, "balanced_accuracy", np.log(prior)) * np.log(prior)
    half = (ascent + adjustment) / 2
    fitted = fit_offsets(scores, targets, "balanced_accuracy", np.log(prior))
    np.testing.assert_allclose(fitted, half - half.mean())
    assert np.abs(fitted).max() > 0.1


def test_a_class_without_rows_does_not_move() -> None:
    logs, targets, _ = small_case(0, 30, 4)
    targets = np.where(targets == 3, 0, targets)
    assert coordinate_ascent(logs, targets, "macro_f1")[3] == 0


def test_the_order_of_rows_does_not_matter() -> None:
    logs, targets, _ = small_case(1, 30, 4)
    order = np.random.default_rng(0).permutation(30)
    there = coordinate_ascent(logs, targets, "macro_f1")
    assert coordinate_ascent(logs[order], targets[order], "macro_f1") == pytest.approx(there)


def test_many_classes_are_affordable() -> None:
    """200 classes, 2000 rows: a fraction of a second; were each cut to visit every class, half a minute."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 200, 2000)
    logs = rng.normal(size=(2000, 200)) + 2.5 * np.eye(200)[targets]
    start = time.thread_time()
    offsets = coordinate_ascent(logs, targets, "macro_f1")
    assert time.thread_time() - start < 5
    assert metric_at(logs, targets, "macro_f1", offsets) > metric_at(logs, targets, "macro_f1", np.zeros(200))


def test_scores_of_zero_stay_finite() -> None:
    scores = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    assert np.isfinite(log_scores(scores)).all()
    assert np.isfinite(fit_offsets(scores, np.array([0, 1, 1]), "macro_f1", np.log([0.5, 0.5]))).all()
