"""Offsets b for ``argmax(log p + b)``: exact coordinate ascent on a metric, and a fitted prior adjustment.

With all other offsets fixed, row i becomes class c as soon as b_c passes its margin
``max_{k != c}(z_ik + b_k) - z_ic``, so the metric takes at most N + 1 values along a coordinate: sort the
margins, update the counts, take the best cut. That optimum is exact; the joint one is local.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from trainers.metrics import COUNT_METRICS, SMALLEST_SCORE, FloatArray, IntArray, confusion_counts

MIN_ROWS = 50
"""A class with fewer rows overfits its offset; callers warn below it (see ``Task.support``)."""

_TIE = 1e-9  # margins closer than this are one: rounding must not decide on which side of a cut a row falls
_GAIN = 1e-12  # smaller gains of a metric are rounding
_PRIOR_POWERS = np.arange(-10, 21) / 10.0  # tau; a negative one undoes a loss that adjusted for the prior


def log_scores(scores: npt.NDArray[np.floating]) -> FloatArray:
    """log p in float64, p below 1e-12 counting as that, so that no offset has to exceed 30."""
    return np.log(np.maximum(scores.astype(np.float64), SMALLEST_SCORE))


def metric_at(logs: FloatArray, targets: IntArray, metric: str, offsets: FloatArray) -> float:
    """The metric (a name of ``COUNT_METRICS``) of ``argmax(logs + offsets)``, ties to the lower class."""
    predictions = (logs + offsets).argmax(axis=1)
    return float(COUNT_METRICS[metric](*confusion_counts(targets, predictions, logs.shape[1])))


def best_cut(
    logs: FloatArray, targets: IntArray, metric: str, offsets: FloatArray, index: int, value: float
) -> tuple[FloatArray, float]:
    """Offsets with coordinate ``index`` at its exact optimum, the others as they are, and the metric there.

    Args:
        logs: (N, C) log scores, N >= 1, C >= 2.
        targets: (N,) classes.
        metric: a name of ``COUNT_METRICS``.
        offsets: (C,) start; it is returned where nothing is better, and of equal optima the nearest is taken.
        index: which coordinate, 0 to C-1.
        value: the metric at ``offsets``.
    """
    shifted = logs + offsets
    shifted[:, index] = -np.inf
    rivals = shifted.argmax(axis=1)
    margins = np.take_along_axis(shifted, rivals[:, None], axis=1)[:, 0] - logs[:, index]
    order = margins.argsort()
    margins = margins[order]
    values = COUNT_METRICS[metric](*_sweep(targets[order], rivals[order], logs.shape[1], index))

    tied = np.flatnonzero(np.diff(margins) <= _TIE) + 1
    values[tied] = -np.inf  # no cut between them
    best = float(values.max())
    if best <= value + _GAIN:
        return offsets, value
    cuts = np.concatenate([[margins[0] - 1.0], (margins[1:] + margins[:-1]) / 2.0, [margins[-1] + 1.0]])
    candidates = cuts[values >= best - _GAIN]
    moved = offsets.copy()
    moved[index] = candidates[np.abs(candidates - offsets[index]).argmin()]
    return moved, best


def _sweep(
    targets: IntArray, rivals: IntArray, num_classes: int, index: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], IntArray]:
    """Counts (C, N+1) after the first j = 0..N rows went from their rival class to class ``index``."""
    classes = np.arange(num_classes)[:, None]
    left = np.zeros((2, num_classes, len(targets) + 1), dtype=np.int32)
    given_up = rivals == classes
    np.cumsum(given_up, axis=1, out=left[0, :, 1:])
    np.cumsum(given_up & (rivals == targets), axis=1, out=left[1, :, 1:])
    predicted = left[0, :, -1:] - left[0]
    hits = left[1, :, -1:] - left[1]
    predicted[index] = np.arange(len(targets) + 1)
    hits[index, 1:] = np.cumsum(targets == index)
    hits[index, 0] = 0
    return hits, predicted, np.bincount(targets, minlength=num_classes)


def coordinate_ascent(
    logs: FloatArray, targets: IntArray, metric: str, *, start: FloatArray | None = None, max_passes: int = 10
) -> FloatArray:
    """Offsets (C,) that no single coordinate can improve (or after ``max_passes``; 3 to 5 are usual).

    A class without rows keeps its start: nothing speaks about it.
    """
    offsets = np.zeros(logs.shape[1]) if start is None else start
    value = metric_at(logs, targets, metric, offsets)
    present = np.unique(targets)
    for _ in range(max_passes):
        before = offsets
        for index in present:
            offsets, value = best_cut(logs, targets, metric, offsets, int(index), value)
        if offsets is before:
            break
    return offsets


def fit_prior_power(logs: FloatArray, targets: IntArray, metric: str, log_prior: FloatArray) -> float:
    """tau of ``argmax(log p - tau log prior)`` (Menon et al. 2021, post-hoc logit adjustment).

    The best of -1 to 2 in steps of .1; of equal ones the nearest to 0.
    """
    values = np.array([metric_at(logs, targets, metric, -tau * log_prior) for tau in _PRIOR_POWERS])
    best = _PRIOR_POWERS[values >= values.max() - _GAIN]
    return float(best[np.abs(best).argmin()])


def fit_offsets(
    scores: npt.NDArray[np.floating], targets: IntArray, metric: str, log_prior: FloatArray
) -> FloatArray:
    """Offsets (C,) of mean 0: half the coordinate ascent, half the fitted prior adjustment.

    The prior half has one parameter and so hardly overfits; the blend held out best. Zeros where the blend is
    worse on these rows than no offsets.

    Args:
        scores: (N, C) probabilities.
        targets: (N,) classes; some may be absent.
        metric: a name of ``COUNT_METRICS``.
        log_prior: (C,) logarithms of the classes' shares in training.
    """
    logs = log_scores(scores)
    ascent = coordinate_ascent(logs, targets, metric)
    prior = -fit_prior_power(logs, targets, metric, log_prior) * log_prior
    blend = (ascent + prior) / 2.0
    nothing = np.zeros(logs.shape[1])
    if metric_at(logs, targets, metric, blend) <= metric_at(logs, targets, metric, nothing) + _GAIN:
        return nothing
    return np.asarray(blend - blend.mean())
