from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn import metrics as sk

from foldtune.trainers.metrics.classification import (
    COUNT_METRICS,
    auroc,
    auroc_ovr,
    confusion_counts,
    log_loss,
    precision_recall_f1,
    top_k_accuracy,
)


def random_case(seed: int, n: int = 60, classes: int = 7, absent: int | None = None) -> tuple:
    """Targets, predictions and scores with ties; ``absent`` never occurs in the targets."""
    rng = np.random.default_rng(seed)
    targets = rng.choice([c for c in range(classes) if c != absent], n)
    scores = softmax(np.round(rng.normal(size=(n, classes)), 1), axis=1)
    return targets, rng.integers(0, classes, n), scores


def values(targets: np.ndarray, predictions: np.ndarray, classes: int) -> dict[str, float]:
    counts = confusion_counts(targets, predictions, classes)
    return {name: metric(*counts) for name, metric in COUNT_METRICS.items()}


@pytest.mark.parametrize("absent", [None, 0, 6])
@pytest.mark.parametrize("seed", range(5))
def test_counts_agree_with_scikit_learn(seed: int, absent: int | None) -> None:
    targets, predictions, _ = random_case(seed, absent=absent)
    own = values(targets, predictions, 7)
    options = {"labels": range(7), "zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns of a class that is only predicted
        assert own["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(targets, predictions))
    assert own["accuracy"] == pytest.approx(sk.accuracy_score(targets, predictions))
    assert own["macro_f1"] == pytest.approx(sk.f1_score(targets, predictions, average="macro", **options))
    assert own["micro_f1"] == pytest.approx(sk.f1_score(targets, predictions, average="micro", **options))


@pytest.mark.parametrize("absent", [None, 6])
def test_figures_of_each_class_agree_with_scikit_learn(absent: int | None) -> None:
    targets, predictions, _ = random_case(0, n=25, absent=absent)
    own = precision_recall_f1(*confusion_counts(targets, predictions, 7))
    expected = sk.precision_recall_fscore_support(targets, predictions, labels=range(7), zero_division=0)
    for mine, theirs in zip(own, expected[:3], strict=True):
        assert mine == pytest.approx(theirs)


def test_reference_numbers() -> None:
    targets = np.array([0, 0, 0, 1, 1, 2, 2, 3, 3, 4])
    own = values(targets, np.array([0, 0, 1, 1, 3, 2, 1, 3, 4, 1]), 5)
    assert own["balanced_accuracy"] == pytest.approx(0.433333, abs=1e-5)
    assert own["macro_f1"] == pytest.approx(0.46, abs=1e-5)


def test_an_absent_class_counts_in_macro_f1_only() -> None:
    targets = np.array([0, 0, 1, 1])
    own = values(targets, targets, 3)
    assert own["macro_f1"] == pytest.approx(2 / 3)
    assert own["balanced_accuracy"] == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_auroc_agrees_with_scikit_learn(seed: int) -> None:
    targets, _, scores = random_case(seed)
    expected = sk.roc_auc_score(targets, scores, multi_class="ovr", average="macro", labels=range(7))
    assert auroc_ovr(scores, targets) == pytest.approx(expected)
    assert auroc(scores[:, 0], targets == 0) == pytest.approx(sk.roc_auc_score(targets == 0, scores[:, 0]))


def test_tied_scores_count_half() -> None:
    positive, scores = np.array([1, 0, 1, 0, 0], dtype=bool), np.array([0.5, 0.5, 0.5, 0.2, 0.9])
    assert auroc(scores, positive) == pytest.approx(sk.roc_auc_score(positive, scores))
    assert auroc(scores, positive) == pytest.approx(0.5)
    assert auroc(np.array([0.7, 0.7, 0.7, 0.2]), np.array([1, 0, 0, 0], dtype=bool)) == pytest.approx(2 / 3)


@pytest.mark.filterwarnings("error")
def test_auroc_leaves_absent_classes_out() -> None:
    targets, _, scores = random_case(3, absent=2)
    expected = [sk.roc_auc_score(targets == c, scores[:, c]) for c in range(7) if c != 2]
    assert auroc_ovr(scores, targets) == pytest.approx(np.mean(expected))
    assert auroc_ovr(scores, np.full(len(scores), 4)) == 0.5
    assert np.isnan(auroc(scores[:, 0], np.zeros(len(scores), dtype=bool)))


def test_top_k_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores, targets = rng.normal(size=(80, 9)), rng.integers(0, 9, 80)
    for k in (1, 5):
        expected = sk.top_k_accuracy_score(targets, scores, k=k, labels=range(9))
        assert top_k_accuracy(scores, targets, k) == pytest.approx(expected)
    assert top_k_accuracy(scores[:, :5], targets % 5, 5) == 1.0


def test_top_1_of_tied_scores_is_the_accuracy_of_argmax() -> None:
    targets, _, scores = random_case(1, n=500)
    assert len(np.unique(scores.max(axis=1) == scores[:, 0])) == 2
    assert top_k_accuracy(scores, targets, 1) == pytest.approx((scores.argmax(axis=1) == targets).mean())


def test_log_loss_is_the_cross_entropy_of_the_logits_even_far_out() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(50, 4)) * 100, rng.integers(0, 4, 50)
    own = log_loss(softmax(logits, axis=1), targets)
    assert own == pytest.approx(-log_softmax(logits, axis=1)[np.arange(50), targets].mean())
    assert np.isfinite(log_loss(np.array([[0.0, 1.0]]), np.array([0])))
