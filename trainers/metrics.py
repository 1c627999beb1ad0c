"""Metrics of pooled rows, computed from counts: they run at every epoch and in every sweep of
post-processing, where scikit-learn's checks of its input would cost more than the numbers. The tests hold
them against scikit-learn with ``labels=range(C), zero_division=0``.

Counts put the class first, ``(C, ...)``: one formula serves one set of predictions and a whole sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

FloatArray: TypeAlias = npt.NDArray[np.float64]
IntArray: TypeAlias = npt.NDArray[np.int64]
CountMetric: TypeAlias = Callable[[npt.NDArray[np.number], npt.NDArray[np.number], IntArray], FloatArray]

SMALLEST_SCORE = 1e-12  # below it scores count as equal: a bound for logarithms, and so for fitted offsets


def confusion_counts(
    targets: IntArray, predictions: IntArray, num_classes: int
) -> tuple[IntArray, IntArray, IntArray]:
    """True positives, predicted rows and actual rows of every class, (C,) each, of two arrays (N,)."""
    hits = np.bincount(targets[targets == predictions], minlength=num_classes)
    predicted = np.bincount(predictions, minlength=num_classes)
    return hits, predicted, np.bincount(targets, minlength=num_classes)


def accuracy(hits: npt.NDArray[np.number], predicted: npt.NDArray[np.number], actual: IntArray) -> FloatArray:
    """Share of rows that are right; equal to micro-F1 where every row has one class."""
    return np.asarray(hits.sum(axis=0) / actual.sum())


def balanced_accuracy(
    hits: npt.NDArray[np.number], predicted: npt.NDArray[np.number], actual: IntArray
) -> FloatArray:
    """Mean recall of the classes that occur in the targets (scikit-learn's ``balanced_accuracy_score``)."""
    present = actual > 0
    weights = np.where(present, 1.0 / np.maximum(actual, 1), 0.0) / present.sum()
    return np.asarray(np.tensordot(weights, hits, axes=(0, 0)))


def macro_f1(hits: npt.NDArray[np.number], predicted: npt.NDArray[np.number], actual: IntArray) -> FloatArray:
    """Mean F1 = 2 TP / (predicted + actual) of all C classes; a class that never occurs counts 0."""
    total = predicted + actual.reshape(-1, *[1] * (predicted.ndim - 1))
    return np.asarray((2.0 * hits / np.maximum(total, 1)).mean(axis=0))


COUNT_METRICS: Mapping[str, CountMetric] = MappingProxyType(
    {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
        "micro_f1": accuracy,
    }
)
"""Metrics of single-label predictions: (hits, predicted, actual), class first -> one value or a sweep's."""


def top_k_accuracy(scores: FloatArray, targets: IntArray, k: int) -> float:
    """Share of rows whose class is among the k highest of (N, C) scores; 1 where C <= k.

    Ties go to the lower class, as in argmax.
    """
    if scores.shape[1] <= k:
        return 1.0
    own = scores[np.arange(len(targets)), targets][:, None]
    earlier = np.arange(scores.shape[1]) < targets[:, None]
    ahead = (scores > own) | ((scores == own) & earlier)
    return float((ahead.sum(axis=1) < k).mean())


def auroc(scores: FloatArray, positive: npt.NDArray[np.bool_]) -> float:
    """Area under the ROC curve of scores (N,), ties counting half: the Mann-Whitney statistic.

    NaN where all rows are positive, or none.
    """
    ranked = np.sort(scores[~positive])
    won = scores[positive]
    if not len(ranked) or not len(won):
        return float("nan")
    below = np.searchsorted(ranked, won, "left") + np.searchsorted(ranked, won, "right")
    return float(below.sum() / (2.0 * len(won) * len(ranked)))


def auroc_ovr(scores: FloatArray, targets: IntArray) -> float:
    """Mean one-vs-rest AUROC of (N, C) scores over the classes that have rows inside and outside; else .5."""
    present = np.unique(targets)
    if len(present) < 2:
        return 0.5
    return float(np.mean([auroc(scores[:, c], targets == c) for c in present]))


def log_loss(scores: FloatArray, targets: IntArray) -> float:
    """Mean -log of the score of the row's class, of (N, C) scores; a score of 0 counts as the least float."""
    own = scores[np.arange(len(targets)), targets].astype(np.float64)
    return float(-np.log(np.maximum(own, np.finfo(np.float64).tiny)).mean())
