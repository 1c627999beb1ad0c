"""Metrics of predicted levels 0 to K-1, all computed from the confusion matrix (K, K) of targets and predictions.

Most are sums of credits: a row of level i that is predicted as j has credit[i, j]. In this form
`foldtune.trainers.postprocess.cuts` maximises them. The tests compare them with scikit-learn's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from foldtune.trainers.metrics.classification import COUNT_METRICS, FloatArray, IntArray

NEAR_CREDIT = 0.5
FAR_PENALTY = 0.5


def confusion_matrix(targets: IntArray, predictions: IntArray, num_levels: int) -> IntArray:
    """Return the rows (K, K) of each actual level (first axis) predicted as each level, of two arrays (N,)."""
    cells = np.bincount(targets * num_levels + predictions, minlength=num_levels**2)
    return cells.reshape(num_levels, num_levels)


def distances(num_levels: int) -> IntArray:
    """Return the steps (K, K) between an actual and a predicted level."""
    levels = np.arange(num_levels)
    return np.asarray(np.abs(levels[:, None] - levels))


@dataclass(frozen=True)
class CreditMetric:
    """The mean credit of the rows, or the mean over the levels that occur of the mean credit of their rows.

    Attributes:
        credit: K -> (K, K), credit of a row of each actual level (first axis) for each predicted one.
        by_level: whether every level that occurs has the same weight, however many rows it has.
    """

    credit: Callable[[int], FloatArray]
    by_level: bool

    def __call__(self, confusion: IntArray) -> float:
        """Return the metric of a confusion matrix (K, K) with at least one row."""
        earned = (self.credit(len(confusion)) * confusion).sum(axis=1)
        actual = confusion.sum(axis=1)
        if not self.by_level:
            return float(earned.sum() / actual.sum())
        return float((earned / np.maximum(actual, 1)).sum() / (actual > 0).sum())

    def gains(self, actual: IntArray) -> FloatArray:
        """Return (K, K) what a row of level i predicted as j adds to the metric, given the rows of each level (K,)."""
        credit = self.credit(len(actual))
        if not self.by_level:
            return np.asarray(credit / actual.sum())
        return np.asarray(credit / (np.maximum(actual, 1) * (actual > 0).sum())[:, None])


def penalty_credit(num_levels: int, near: float = NEAR_CREDIT, far: float = FAR_PENALTY) -> FloatArray:
    """Return the credit (K, K) of penalty recall by distance d: 1 at 0, ``near`` at 1, ``-far·(d-1)/(K-2)`` beyond."""
    distance = distances(num_levels)
    penalty = -far * (distance - 1) / max(num_levels - 2, 1)  # two levels are never two steps apart
    return np.asarray(np.select([distance == 0, distance == 1], [1.0, near], penalty))


def within_one(num_levels: int) -> FloatArray:
    """Return the credit (K, K) of adjacent accuracy: 1 up to one step, else 0."""
    return np.asarray(distances(num_levels) <= 1, dtype=np.float64)


def quadratic_weights(num_levels: int) -> FloatArray:
    """Return the weights (K, K) of disagreement: the squared steps."""
    return np.square(distances(num_levels).astype(np.float64))


CREDIT_METRICS: Mapping[str, CreditMetric] = MappingProxyType(
    {
        "accuracy": CreditMetric(np.eye, by_level=False),
        "balanced_accuracy": CreditMetric(np.eye, by_level=True),
        "adjacent_accuracy": CreditMetric(within_one, by_level=False),
        "penalty_recall": CreditMetric(penalty_credit, by_level=True),
        "mae": CreditMetric(lambda num_levels: distances(num_levels).astype(np.float64), by_level=False),
    }
)
"""Metrics that are sums over the rows, by name; of mae less is better."""


def macro_f1(confusion: IntArray) -> float:
    """Return the mean F1 of all K levels; one that never occurs counts 0."""
    return COUNT_METRICS["macro_f1"](confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1))


def qwk(confusion: IntArray) -> float:
    """Return Cohen's kappa with quadratic weights (Cohen 1968): 1 - observed / expected disagreement.

    It is 1 where all rows and all predictions are the same level, where kappa is undefined.

    >>> round(qwk(np.array([[2, 1], [0, 3]])), 6)
    0.666667
    """
    weights = quadratic_weights(len(confusion))
    expected = confusion.sum(axis=1) @ weights @ confusion.sum(axis=0) / confusion.sum()
    return float(1.0 - (weights * confusion).sum() / expected) if expected > 0 else 1.0


ORDINAL_METRICS: Mapping[str, Callable[[npt.NDArray[np.int64]], float]] = MappingProxyType(
    {
        "qwk": qwk,
        "accuracy": CREDIT_METRICS["accuracy"],
        "balanced_accuracy": CREDIT_METRICS["balanced_accuracy"],
        "macro_f1": macro_f1,
        "adjacent_accuracy": CREDIT_METRICS["adjacent_accuracy"],
        "penalty_recall": CREDIT_METRICS["penalty_recall"],
        "mae": CREDIT_METRICS["mae"],
    }
)
"""Metrics of a confusion matrix that cut points can be fitted for, by name."""
