"""Metrics of several labels an image, against scikit-learn."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    log_loss,
    roc_auc_score,
    top_k_accuracy_score,
)

from foldtune.trainers.metrics.multilabel import (
    PREDICTION_METRICS,
    average_precisions,
    binary_log_loss,
    mean_auroc,
    mean_average_precision,
    top_k_hits,
)
from foldtune.trainers.tasks.multilabel import Multilabel


def case(seed: int, rows: int = 30, labels: int = 4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Tied scores, targets and predictions, rows and labels without any 1 among them."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((rows, labels)) < rng.choice([0.0, 0.2, 0.6], labels)).astype(np.int64)
    predictions = np.where(rng.random((rows, labels)) < 0.3, 1 - targets, targets)
    return rng.integers(0, 12, (rows, labels)) / 11, targets, predictions


@pytest.mark.parametrize("name", PREDICTION_METRICS)
def test_metrics_of_predictions_are_scikit_learn_s(name: str) -> None:
    for seed in range(20):
        _, targets, predictions = case(seed, rows=1 + seed)
        if name == "accuracy":
            expected = accuracy_score(targets, predictions)
        else:
            expected = f1_score(targets, predictions, average=name.removesuffix("_f1"), zero_division=0)
        assert PREDICTION_METRICS[name](targets, predictions) == pytest.approx(expected)


def test_average_precision_is_scikit_learn_s_ties_included() -> None:
    for seed in range(30):
        scores, targets, _ = case(seed, rows=1 + seed)
        found = average_precisions(scores, targets)
        occurs = targets.any(axis=0)
        assert np.isnan(found).tolist() == (~occurs).tolist()
        expected = [average_precision_score(targets[:, c], scores[:, c]) for c in np.flatnonzero(occurs)]
        assert found[occurs] == pytest.approx(expected)
        assert mean_average_precision(scores, targets) == pytest.approx(np.mean(expected) if expected else 0.0)


def test_auroc_is_scikit_learn_s_mean_over_labels_that_have_both_sides() -> None:
    for seed in range(20):
        scores, targets, _ = case(seed)
        both = np.flatnonzero(targets.any(axis=0) & ~targets.all(axis=0))
        expected = [roc_auc_score(targets[:, c], scores[:, c]) for c in both]
        assert mean_auroc(scores, targets) == pytest.approx(np.mean(expected) if expected else 0.5)


def test_log_loss_is_scikit_learn_s_of_all_answers_pooled() -> None:
    scores, targets, _ = case(2)
    expected = log_loss(targets.ravel(), scores.ravel(), labels=[0, 1])
    assert binary_log_loss(scores, targets) == pytest.approx(expected)
    assert np.isfinite(binary_log_loss(np.array([0.0, 1.0]), np.array([1, 0])))


def test_top_k_of_one_label_a_row_is_the_top_k_accuracy() -> None:
    rng = np.random.default_rng(0)
    scores, classes = rng.random((60, 9)), rng.integers(0, 9, 60)
    expected = top_k_accuracy_score(classes, scores, k=5, labels=range(9))
    assert top_k_hits(scores, np.eye(9, dtype=np.int64)[classes], 5) == pytest.approx(expected)


def test_top_k_needs_one_of_the_labels_in_rows_that_have_any() -> None:
    scores = np.array([[0.9, 0.8, 0.1], [0.9, 0.8, 0.1], [0.9, 0.8, 0.1], [0.5, 0.5, 0.5]])
    targets = np.array([[0, 1, 1], [0, 0, 1], [0, 0, 0], [0, 0, 1]])
    assert top_k_hits(scores, targets, 2) == pytest.approx(1 / 3)  # ties go to the lower label
    assert top_k_hits(scores, targets, 3) == 1.0
    assert top_k_hits(scores, np.zeros_like(targets), 2) == 1.0


def test_an_evaluation_costs_milliseconds() -> None:
    """1000 rows, 20 labels, as at each epoch; about 5 ms on one core."""
    rng = np.random.default_rng(0)
    scores, targets = rng.random((1000, 20)), (rng.random((1000, 20)) < 0.1).astype(np.int64)
    task = Multilabel("y", tuple(f"c{i}" for i in range(20)))
    predictions = task.predict(scores)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        task.evaluate(scores, predictions, targets)
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05
