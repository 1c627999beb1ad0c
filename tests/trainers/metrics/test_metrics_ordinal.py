from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    cohen_kappa_score,
    f1_score,
    mean_absolute_error,
    recall_score,
)

from foldtune.trainers.metrics.classification import (
    CREDIT_METRICS,
    ORDINAL_METRICS,
    CreditMetric,
    confusion_matrix,
    penalty_credit,
    qwk,
)

TARGETS = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 4])
PREDICTIONS = np.array([0, 0, 1, 1, 3, 2, 1, 3, 4, 1])


def value(metric: str, targets: np.ndarray, predictions: np.ndarray, num_levels: int) -> float:
    return ORDINAL_METRICS[metric](confusion_matrix(targets, predictions, num_levels))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("penalty_recall", 0.483333), ("balanced_accuracy", 0.433333), ("qwk", 0.540230), ("macro_f1", 0.46)],
)
def test_the_published_example(metric: str, expected: float) -> None:
    assert value(metric, TARGETS, PREDICTIONS, 5) == pytest.approx(expected, abs=1e-5)


def slow_penalty_recall(targets: np.ndarray, predictions: np.ndarray, num_levels: int) -> float:
    """The definition, row by row."""
    means = []
    for level in np.unique(targets):
        credits = []
        for prediction in predictions[targets == level]:
            distance = abs(int(prediction) - int(level))
            if distance >= 2:
                credits.append(-0.5 * (distance - 1) / (num_levels - 2))
            else:
                credits.append(0.5 if distance else 1.0)
        means.append(np.mean(credits))
    return float(np.mean(means))


@pytest.mark.parametrize(("n", "num_levels"), [(1, 2), (1, 5), (2, 3), (10, 2), (40, 5), (40, 9)])
def test_random_levels_agree_with_scikit_learn(n: int, num_levels: int) -> None:
    labels = range(num_levels)
    for seed in range(20):
        rng = np.random.default_rng([seed, n, num_levels])
        targets, predictions = rng.integers(0, num_levels, n), rng.integers(0, num_levels, n)
        expected = {
            "accuracy": accuracy_score(targets, predictions),
            "balanced_accuracy": recall_score(targets, predictions, labels=np.unique(targets), average="macro"),
            "macro_f1": f1_score(targets, predictions, labels=labels, average="macro", zero_division=0),
            "mae": mean_absolute_error(targets, predictions),
            "adjacent_accuracy": (np.abs(targets - predictions) <= 1).mean(),
            "penalty_recall": slow_penalty_recall(targets, predictions, num_levels),
        }
        if len({*targets.tolist(), *predictions.tolist()}) > 1:  # else scikit-learn has no value
            expected["qwk"] = cohen_kappa_score(targets, predictions, labels=labels, weights="quadratic")
        found = {name: value(name, targets, predictions, num_levels) for name in expected}
        assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", sorted(ORDINAL_METRICS))
def test_a_perfect_answer_has_the_best_value_even_where_levels_are_absent(metric: str) -> None:
    best = {"mae": 0.0, "macro_f1": 2 / 5}.get(metric, 1.0)
    targets = np.array([1, 3, 3])
    assert value(metric, targets, targets, 5) == best


@pytest.mark.parametrize(("prediction", "expected"), [(2, 1.0), (1, 0.0), (4, 0.0)])
def test_qwk_of_one_level_alone_is_one_where_right_and_zero_where_wrong(prediction: int, expected: float) -> None:
    assert qwk(confusion_matrix(np.full(4, 2), np.full(4, prediction), 5)) == expected


def test_penalty_recall_without_credit_and_penalty_is_balanced_accuracy() -> None:
    plain = CreditMetric(lambda num_levels: penalty_credit(num_levels, near=0.0, far=0.0), by_level=True)
    confusion = confusion_matrix(TARGETS, PREDICTIONS, 5)
    assert plain(confusion) == CREDIT_METRICS["balanced_accuracy"](confusion)


@pytest.mark.parametrize("metric", sorted(CREDIT_METRICS))
def test_gains_of_the_rows_add_up_to_the_metric(metric: str) -> None:
    gains = CREDIT_METRICS[metric].gains(np.bincount(TARGETS, minlength=6))
    assert gains[TARGETS, PREDICTIONS].sum() == pytest.approx(value(metric, TARGETS, PREDICTIONS, 6))


def test_all_metrics_of_a_thousand_rows_take_about_a_millisecond() -> None:
    rng = np.random.default_rng(0)
    targets, predictions = rng.integers(0, 5, 1000), rng.integers(0, 5, 1000)
    times = []
    for _ in range(20):
        started = time.perf_counter()
        confusion = confusion_matrix(targets, predictions, 5)
        for metric in ORDINAL_METRICS.values():
            metric(confusion)
        times.append(time.perf_counter() - started)
    assert min(times) < 2e-3
