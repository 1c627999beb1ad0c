"""Metrics of independent labels: targets and predictions (N, L) 0/1, scores (N, L) in [0, 1].

Computed from counts and one sort a label, by hand for the reason given in ``trainers.metrics.classification``. The
tests compare them with scikit-learn's, with ``zero_division=0``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.metrics.classification import FloatArray, IntArray, auroc, precision_recall_f1

_LOG_EPS = float(np.finfo(np.float64).eps)
BoolArray = npt.NDArray[np.bool_]


def label_counts(targets: IntArray, predictions: IntArray, axis: int = 0) -> tuple[IntArray, IntArray, IntArray]:
    """Return true, predicted and actual positives: (L,) of the labels, or with ``axis`` 1 (N,) of the rows."""
    hits = (targets & predictions).sum(axis=axis)
    return hits, predictions.sum(axis=axis), targets.sum(axis=axis)


def macro_f1(targets: IntArray, predictions: IntArray) -> float:
    """Return the mean F1 of all L labels; one that is neither actual nor predicted counts 0."""
    return float(precision_recall_f1(*label_counts(targets, predictions))[2].mean())


def micro_f1(targets: IntArray, predictions: IntArray) -> float:
    """Return F1 of all N·L elements pooled; 0 where none is actual or predicted."""
    hits, predicted, actual = (int(counts.sum()) for counts in label_counts(targets, predictions))
    return 2.0 * hits / max(predicted + actual, 1)


def samples_f1(targets: IntArray, predictions: IntArray) -> float:
    """Return the mean F1 of the rows; one without labels counts 0, even where none are predicted."""
    return float(precision_recall_f1(*label_counts(targets, predictions, axis=1))[2].mean())


def exact_match(targets: IntArray, predictions: IntArray) -> float:
    """Return the share of rows with all labels right (subset accuracy)."""
    return float((targets == predictions).all(axis=1).mean())


PREDICTION_METRICS: Mapping[str, Callable[[IntArray, IntArray], float]] = MappingProxyType(
    {"macro_f1": macro_f1, "micro_f1": micro_f1, "samples_f1": samples_f1, "accuracy": exact_match}
)
"""Metrics of (targets, predictions), which thresholds can be fitted for."""


def average_precisions(scores: npt.NDArray[np.floating], targets: IntArray) -> FloatArray:
    """Return (L,) the average precision ``Σ (R_k - R_{k-1})·P_k`` of each label; NaN without positives.

    Rows with the same score are one step, so their order does not matter.
    """
    rows = len(scores)
    negated = np.ascontiguousarray(-np.asarray(scores, dtype=np.float64).T)
    order = negated.argsort(axis=1)
    ordered = np.take_along_axis(negated, order, axis=1)
    positive = np.take_along_axis(np.ascontiguousarray(targets.T), order, axis=1)
    places = np.broadcast_to(np.arange(rows), ordered.shape)
    last = np.ones(ordered.shape, dtype=bool)
    last[:, :-1] = ordered[:, 1:] != ordered[:, :-1]
    ends = np.minimum.accumulate(np.where(last, places, rows)[:, ::-1], axis=1)[:, ::-1]  # of each row's ties
    hits = np.cumsum(positive, axis=1)
    precision = np.take_along_axis(hits, ends, axis=1) / (ends + 1)
    total = hits[:, -1]
    sums = (precision * positive).sum(axis=1)
    return np.asarray(np.where(total > 0, sums / np.maximum(total, 1), np.nan))


def mean_average_precision(
    scores: npt.NDArray[np.floating], targets: IntArray, known: BoolArray | None = None
) -> float:
    """Return the mean average precision, on the cells (N, L) that are known, of the labels with positives; else 0."""
    if known is None or known.all():
        return _mean_of_defined(average_precisions(scores, targets), 0.0)
    columns = zip(scores.T, targets.T, known.T, strict=True)
    values = [average_precisions(own[on, None], wanted[on, None])[0] for own, wanted, on in columns if on.any()]
    return _mean_of_defined(np.array(values), 0.0)


def mean_auroc(scores: npt.NDArray[np.floating], targets: IntArray, known: BoolArray | None = None) -> float:
    """Return the mean AUROC, on the cells (N, L) that are known, of labels with positives and negatives; else 0.5."""
    rows = [slice(None)] * scores.shape[1] if known is None else list(known.T)
    columns = zip(scores.T, targets.T, rows, strict=True)
    return _mean_of_defined(np.array([auroc(own[on], wanted[on] == 1) for own, wanted, on in columns]), 0.5)


def _mean_of_defined(values: FloatArray, otherwise: float) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else otherwise


def top_k_hits(scores: npt.NDArray[np.floating], targets: IntArray, k: int) -> float:
    """Return the share of labelled rows that have a label among their k highest scores; 1 for k >= L or no such row.

    With one label a row it is the top-k accuracy. Ties go to the lower label.
    """
    labelled = targets.any(axis=1)
    if scores.shape[1] <= k or not labelled.any():
        return 1.0
    top = (-scores[labelled]).argsort(axis=1, kind="stable")[:, :k]
    return float(np.take_along_axis(targets[labelled], top, axis=1).any(axis=1).mean())


def binary_log_loss(scores: npt.NDArray[np.floating], targets: IntArray) -> float:
    """Return the mean binary cross entropy of all elements; scores are clipped 2e-16 from 0 and 1."""
    kept = np.clip(np.asarray(scores, dtype=np.float64), _LOG_EPS, 1.0 - _LOG_EPS)
    return float(-np.log(np.where(targets == 1, kept, 1.0 - kept)).mean())


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
    """Weights of L labels in N rows. An unknown cell counts in nothing: no prediction of it is right or wrong.

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


def _loss(labels: SoftLabels, scores: npt.NDArray[Any]) -> float:
    """Return the mean ``-(w·log p + (1-w)·log(1-p))`` of all known cells; scores are clipped 2e-16 from 0 and 1."""
    known = labels.known if labels.known.any() else np.ones_like(labels.known)
    kept = np.clip(scores[known].astype(np.float64), _LOG_EPS, 1.0 - _LOG_EPS)
    weights = labels.weights[known]
    return float(-(weights * np.log(kept) + (1.0 - weights) * np.log1p(-kept)).mean())


SCORE_METRICS: Mapping[str, Callable[[SoftLabels, npt.NDArray[Any]], float]] = MappingProxyType(
    {
        "map": lambda labels, scores: mean_average_precision(scores, labels.labels, labels.known),
        "auroc": lambda labels, scores: mean_auroc(scores, labels.labels, labels.known),
        "top5_accuracy": lambda labels, scores: top_k_hits(np.where(labels.known, scores, -1.0), labels.labels, 5),
        "loss": _loss,
    }
)
"""Metrics of scores, by name."""
