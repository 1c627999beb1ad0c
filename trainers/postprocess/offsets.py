"""Offsets b for ``argmax(log p + b)``: exact coordinate ascent on a metric, and a fitted prior adjustment.

With all other offsets fixed, row i becomes class c as soon as b_c exceeds its margin
``max_{k != c}(z_ik + b_k) - z_ic``, so the metric takes at most N + 1 values along a coordinate: sort the
margins, update the counts, take the best cut. That optimum is exact; the joint one is local. A coordinate
costs O(N log N) whatever C is, so a pass over many classes stays affordable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from foldtune.trainers.metrics.classification import (
    COUNT_METRICS,
    SMALLEST_SCORE,
    CountMetric,
    FloatArray,
    IntArray,
    confusion_counts,
)

Metric: TypeAlias = "str | FloatArray"
"""A name of ``COUNT_METRICS``; or credits (C, C) of a row of each class (first axis) predicted as each, whose mean over
the rows is the metric."""

MIN_ROWS = 50
"""Rows below which a class overfits its offset; callers warn (see ``Task.support``)."""

_TIE = 1e-9  # margins closer than this are one: rounding must not decide on which side of a cut a row falls
_GAIN = 1e-10  # smaller gains of a metric are rounding
_MAX_PASSES = 10  # each of which visits every class once
_PRIOR_POWERS = np.arange(-10, 21) / 10.0  # tau; a negative one undoes a loss that adjusted for the prior


def log_scores(scores: npt.NDArray[np.floating]) -> FloatArray:
    """Return log p in float64, with p >= 1e-12, so that no offset has to exceed 30."""
    return np.log(np.maximum(scores.astype(np.float64), SMALLEST_SCORE))


def metric_at(logs: FloatArray, targets: IntArray, metric: Metric, offsets: FloatArray) -> float:
    """Return the metric of ``argmax(logs + offsets)``, ties to the lower class."""
    predictions = (logs + offsets).argmax(axis=1)
    if not isinstance(metric, str):
        return float(metric[targets, predictions].mean())
    return COUNT_METRICS[metric](*confusion_counts(targets, predictions, logs.shape[1]))


def coordinate_ascent(
    logs: FloatArray,
    targets: IntArray,
    metric: Metric,
    *,
    start: FloatArray | None = None,
) -> FloatArray:
    """Return offsets (C,) that no single coordinate can improve, or those after ten passes (3 to 5 are usual).

    A class without rows keeps its start. Of equal optima along a coordinate the nearest is taken.

    Args:
        logs: (N, C) log scores, N >= 1, C >= 2.
        targets: (N,) classes.
        start: (C,) initial offsets; None is zeros.
    """
    offsets = np.zeros(logs.shape[1]) if start is None else start.copy()
    shifted = logs + offsets
    leaders = shifted.argmax(axis=1)
    value = metric_at(logs, targets, metric, offsets)
    present = np.unique(targets)
    for _ in range(_MAX_PASSES):
        improved = False
        for index in present:
            coordinate = _coordinate(logs, shifted, leaders, index)
            cut, best = best_cut(coordinate, targets, metric, logs.shape[1], offsets[index])
            if best > value + _GAIN:
                offsets[index], value, improved = cut, best, True
                shifted[:, index] = logs[:, index] + cut
                leaders = np.where(coordinate.margins < cut, index, coordinate.rivals)
        if not improved:
            break
    return offsets


@dataclass(frozen=True, eq=False)
class Coordinate:
    """What decides each row's class along the offset of one class, all other offsets fixed.

    Attributes:
        index: class whose offset varies.
        rivals: (N,) best other class of each row.
        margins: (N,) offset of ``index`` beyond which it overtakes the rival.
    """

    index: int
    rivals: IntArray
    margins: FloatArray


def _coordinate(logs: FloatArray, shifted: FloatArray, leaders: IntArray, index: int) -> Coordinate:
    """Return the coordinate of a class.

    Args:
        logs: (N, C) log scores.
        shifted: (N, C) log scores with the current offsets.
        leaders: (N,) argmax of ``shifted``.
    """
    own = np.flatnonzero(leaders == index)
    others = shifted[own]
    others[:, index] = -np.inf
    rivals = leaders.copy()
    rivals[own] = others.argmax(axis=1)
    return Coordinate(index, rivals, shifted[np.arange(len(logs)), rivals] - logs[:, index])


def best_cut(
    coordinate: Coordinate, targets: IntArray, metric: Metric, num_classes: int, current: float
) -> tuple[float, float]:
    """Return the best offset along a coordinate, of equal ones the nearest to ``current``, and the metric there."""
    order = coordinate.margins.argsort()
    margins = coordinate.margins[order]
    moved = targets[order], coordinate.rivals[order]
    if isinstance(metric, str):
        values = _sweep(*moved, COUNT_METRICS[metric], num_classes, coordinate.index)
    else:
        values = _sweep_credits(*moved, metric, coordinate.index)
    tied = np.flatnonzero(np.diff(margins) <= _TIE) + 1
    values[tied] = -np.inf  # no cut between them
    best = float(values.max())
    cuts = np.concatenate([[margins[0] - 1.0], (margins[1:] + margins[:-1]) / 2.0, [margins[-1] + 1.0]])
    candidates = cuts[values >= best - _GAIN]
    return float(candidates[np.abs(candidates - current).argmin()]), best


def _sweep(targets: IntArray, rivals: IntArray, metric: CountMetric, num_classes: int, index: int) -> FloatArray:
    """Return the metric (N+1,) after the first j = 0..N rows moved from their rival class to class ``index``.

    A step changes the terms of two classes; grouping the steps by rival gives each class's running counts.
    """
    actual = np.bincount(targets, minlength=num_classes)
    predicted = np.bincount(rivals, minlength=num_classes)
    hits = np.bincount(rivals[rivals == targets], minlength=num_classes)

    grouped = rivals.astype(np.min_scalar_type(num_classes)).argsort(kind="stable")  # a radix sort
    rival = rivals[grouped]
    lost = (rival == targets[grouped]).astype(np.int64)
    hits_before = np.cumsum(hits)[rival] - np.cumsum(lost) + lost
    predicted_before = np.cumsum(predicted)[rival] - np.arange(len(targets))
    before = metric.terms(hits_before, predicted_before, actual[rival])
    after = metric.terms(hits_before - lost, predicted_before - 1, actual[rival])
    changes = np.empty(len(targets))
    changes[grouped] = after - before

    reached = np.arange(len(targets) + 1)
    own_hits = np.concatenate([[0], np.cumsum(targets == index)])
    values = metric.terms(own_hits, reached, actual[index])
    values += metric.terms(hits, predicted, actual).sum()
    values[1:] += np.cumsum(changes)
    return np.asarray(values / metric.divisor(actual))


def _sweep_credits(targets: IntArray, rivals: IntArray, credits: FloatArray, index: int) -> FloatArray:
    """Return the mean credit (N+1,) after the first j = 0..N rows moved from their rival class to class ``index``."""
    before = credits[targets, rivals]
    gains = np.concatenate([[before.sum()], credits[targets, index] - before])
    return np.asarray(np.cumsum(gains) / len(targets))


def fit_prior_power(logs: FloatArray, targets: IntArray, metric: Metric, log_prior: FloatArray) -> float:
    """Return tau of ``argmax(log p - tau log prior)`` (Menon et al. 2021, post-hoc logit adjustment).

    The best of -1 to 2 in steps of 0.1; of equal ones the nearest to 0.
    """
    return _best_prior_power(lambda offsets: metric_at(logs, targets, metric, offsets), log_prior)


def _best_prior_power(worth: Callable[[FloatArray], float], log_prior: FloatArray) -> float:
    values = np.array([worth(-tau * log_prior) for tau in _PRIOR_POWERS])
    best = _PRIOR_POWERS[values >= values.max() - _GAIN]
    return float(best[np.abs(best).argmin()])


def fit_offsets(
    scores: npt.NDArray[np.floating], targets: IntArray, metric: Metric, log_prior: FloatArray
) -> FloatArray:
    """Return offsets (C,) of mean 0: half the coordinate ascent, half the fitted prior adjustment.

    The prior half has one parameter and so hardly overfits; the blend was best on held-out rows. Zeros where
    the blend is worse on these rows than no offsets.

    Args:
        scores: (N, C) probabilities.
        targets: (N,) classes; some may be absent.
        log_prior: (C,) logarithms of the classes' shares.
    """
    logs = log_scores(scores)
    ascent = coordinate_ascent(logs, targets, metric)
    prior = -fit_prior_power(logs, targets, metric, log_prior) * log_prior
    blend = (ascent + prior) / 2.0
    nothing = np.zeros(logs.shape[1])
    if metric_at(logs, targets, metric, blend) <= metric_at(logs, targets, metric, nothing) + _GAIN:
        return nothing
    return np.asarray(blend - blend.mean())


def least_expected_cost(logs: FloatArray, costs: FloatArray) -> IntArray:
    """Return the class (N,) ``argmin_j sum_i p_i costs[i, j]`` of log scores (N, C); ties go to the lower class.

    It is optimal where p are the probabilities of the classes (Elkan 2001).

    >>> least_expected_cost(np.log([[0.7, 0.3]]), np.array([[0.0, 1.0], [5.0, 0.0]])).tolist()
    [1]
    """
    # Not a matrix product: its rounding depends on the rows beside a row.
    expected = np.einsum("ni,ij->nj", softmax(logs, axis=1), costs, optimize=False)
    return np.asarray(expected.argmin(axis=1), dtype=np.int64)


def fit_prior_of_costs(logs: FloatArray, targets: IntArray, costs: FloatArray, log_prior: FloatArray) -> FloatArray:
    """Return offsets (C,), a multiple of the log prior (C,), under which `least_expected_cost` costs least."""

    def saved(offsets: FloatArray) -> float:
        return -float(costs[targets, least_expected_cost(logs + offsets, costs)].mean())

    offsets = -_best_prior_power(saved, log_prior) * log_prior
    return np.asarray(offsets - offsets.mean())
