"""Metrics of independent labels: targets and predictions (N, L) 0/1, scores (N, L) in [0, 1].

Computed from counts and one sort a label, by hand for the reason given in ``trainers.metrics.classification``. The
tests compare them with scikit-learn's, with ``zero_division=0``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from foldtune.trainers.metrics.classification import FloatArray, IntArray, auroc, precision_recall_f1

_LOG_EPS = float(np.finfo(np.float64).eps)


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


def mean_average_precision(scores: npt.NDArray[np.floating], targets: IntArray) -> float:
    """Return the mean average precision of the labels that have positives; 0 where none has."""
    values = average_precisions(scores, targets)
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else 0.0


def mean_auroc(scores: npt.NDArray[np.floating], targets: IntArray) -> float:
    """Return the mean AUROC of the labels that have positives and negatives; 0.5 where none has."""
    areas = [auroc(own, wanted == 1) for own, wanted in zip(scores.T, targets.T, strict=True)]
    defined = [area for area in areas if not np.isnan(area)]
    return float(np.mean(defined)) if defined else 0.5


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
