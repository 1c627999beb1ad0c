"""Metrics of soft targets, which are probabilities, and of targets with cells that are unknown.

Where hard labels are needed they are the likeliest class, or the labels whose weight reaches a threshold. An unknown
cell, NaN, counts in nothing: no prediction of it is right or wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.metrics.classification import FloatArray, IntArray, auroc
from foldtune.trainers.metrics.multilabel import PREDICTION_METRICS, average_precisions, top_k_hits

_LOG_EPS = float(np.finfo(np.float64).eps)

BoolArray = npt.NDArray[np.bool_]


def likeliest(targets: npt.NDArray[Any]) -> IntArray:
    """Return the likeliest class (N,) of probabilities (N, C), the lower of equals; classes (N,) as they are.

    >>> likeliest(np.array([[0.2, 0.8], [0.5, 0.5]])).tolist()
    [1, 0]
    """
    return np.asarray(targets if targets.ndim == 1 else targets.argmax(axis=1), dtype=np.int64)


def cross_entropy(scores: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    """Return the mean ``-Σ q_c·log p_c`` of scores p and probabilities q (N, C); a score of 0 is the smallest float.

    Of one-hot probabilities it is `foldtune.trainers.metrics.classification.log_loss`.
    """
    logs = np.log(np.maximum(np.asarray(scores, dtype=np.float64), np.finfo(np.float64).tiny))
    return float(-(np.asarray(targets, dtype=np.float64) * logs).sum(axis=1).mean())


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """Weights of L labels in N rows.

    Attributes:
        weights: (N, L) in [0, 1]; 0 where unknown.
        labels: (N, L) 1 where the weight reaches the threshold, else 0; 0 where unknown.
        known: (N, L) whether the cell is known.
    """

    weights: FloatArray
    labels: IntArray
    known: BoolArray

    @classmethod
    def of(cls, targets: npt.NDArray[Any], threshold: float) -> SoftLabels:
        """Return the labels of targets (N, L), NaN where unknown; `threshold`: weight from which a label is on."""
        known = ~np.isnan(targets)
        weights = np.where(known, targets, 0.0).astype(np.float64)
        # Targets are stored in single precision, in which a weight of .3 lies above the .3 of double precision.
        labels = (weights.astype(np.float32) >= np.float32(threshold)) & known
        return cls(weights, labels.astype(np.int64), known)

    def masked(self, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return scores or predictions (N, L) with 0 in the place of unknown cells, as their labels have."""
        return np.where(self.known, scores, np.zeros((), dtype=np.asarray(scores).dtype))

    @property
    def judged_rows(self) -> BoolArray:
        """(N,) rows with a known cell; all of them where none has one."""
        return _or_all(np.asarray(self.known.any(axis=1)))

    @property
    def judged_labels(self) -> BoolArray:
        """(L,) labels with a known cell; all of them where none has one."""
        return _or_all(np.asarray(self.known.any(axis=0)))

    def prediction_metric(self, name: str, predictions: IntArray) -> float:
        """Return a metric of `PREDICTION_METRICS` of predictions (N, L) 0/1 on the rows and labels that are known."""
        part = np.ix_(self.judged_rows, self.judged_labels)
        return PREDICTION_METRICS[name](self.labels[part], self.masked(predictions)[part])

    def score_metric(self, name: str, scores: npt.NDArray[Any]) -> float:
        """Return a metric of `SCORE_METRICS` of scores (N, L)."""
        return SCORE_METRICS[name](self, np.asarray(scores))


def _or_all(chosen: npt.NDArray[Any]) -> BoolArray:
    return chosen if chosen.any() else np.ones_like(chosen)


def _map(labels: SoftLabels, scores: npt.NDArray[Any]) -> float:
    if labels.known.all():
        values = average_precisions(scores, labels.labels)
    else:
        values = np.array(
            [
                average_precisions(own[known, None], wanted[known, None])[0] if known.any() else np.nan
                for own, wanted, known in zip(scores.T, labels.labels.T, labels.known.T, strict=True)
            ]
        )
    return _mean_of_defined(values, 0.0)


def _auroc(labels: SoftLabels, scores: npt.NDArray[Any]) -> float:
    columns = zip(scores.T, labels.labels.T, labels.known.T, strict=True)
    return _mean_of_defined(np.array([auroc(own[known], wanted[known] == 1) for own, wanted, known in columns]), 0.5)


def _top5(labels: SoftLabels, scores: npt.NDArray[Any]) -> float:
    return top_k_hits(np.where(labels.known, scores, -1.0), labels.labels, 5)


def _loss(labels: SoftLabels, scores: npt.NDArray[Any]) -> float:
    """Return the mean ``-(w·log p + (1-w)·log(1-p))`` of all known cells; scores are clipped 2e-16 from 0 and 1."""
    known = labels.known if labels.known.any() else np.ones_like(labels.known)
    kept = np.clip(scores[known].astype(np.float64), _LOG_EPS, 1.0 - _LOG_EPS)
    weights = labels.weights[known]
    return float(-(weights * np.log(kept) + (1.0 - weights) * np.log1p(-kept)).mean())


def _mean_of_defined(values: FloatArray, otherwise: float) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else otherwise


SCORE_METRICS: Mapping[str, Callable[[SoftLabels, npt.NDArray[Any]], float]] = MappingProxyType(
    {"map": _map, "auroc": _auroc, "top5_accuracy": _top5, "loss": _loss}
)
"""Metrics of scores, by name."""
