"""Evaluation of many blends of stored scores: only the requested metric, on a sample of very many rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.tasks import Task

Array = npt.NDArray[Any]

MAX_ELEMENTS = 50_000
"""Numbers (rows times scores a row) on which one blend of very many is judged."""
MIN_ROWS = 500


def metric_of(
    task: Task, metric: str, scores: Array, predictions: Array, targets: Array, rows: Array | None = None
) -> float:
    """One metric of all rows or of `rows`, without the sorting of scores where it is one of predictions alone."""
    if rows is None:
        rows = np.arange(len(targets))
    if metric in task.tunable_metrics:
        drawn = np.broadcast_to(np.zeros((), dtype=np.float64), (len(rows), *scores.shape[1:]))
    else:
        drawn = scores[rows]
    return task.metric_value(metric, drawn, predictions[rows], targets[rows])


def fitted_value(task: Task, metric: str, scores: Array, targets: Array) -> float:
    """The metric with the post-processing fitted on the same rows: it flatters, but all blends alike."""
    predictions = task.predict(scores, task.fit_postprocess(scores, targets, metric))
    return metric_of(task, metric, scores, predictions, targets)


def differing(one: Array, other: Array) -> npt.NDArray[np.bool_]:
    """(N,) whether the targets (N, ...) of a row differ; NaN is what is not there, in both or in one."""
    if one.shape != other.shape:
        return np.ones(len(one), dtype=np.bool_)
    same = np.asarray(one == other)
    if one.dtype.kind == "f":
        same |= np.isnan(one) & np.isnan(other)
    return np.asarray(~same.reshape(len(one), -1).all(axis=1))


def gain_sign(task: Task, metric: str) -> float:
    """1 where more is better, else -1."""
    return 1.0 if task.mode(metric) == "max" else -1.0


def choose_rows(member_scores: Sequence[Array], seed: int = 0) -> npt.NDArray[np.int64]:
    """At most as many of the N rows as MAX_ELEMENTS allows, ascending, drawn by the M members' scores (N, ...).

    So the same images are drawn in whatever order rows and members come. One member is in memory at a time.
    """
    shape = np.shape(member_scores[0])
    most = max(MIN_ROWS, MAX_ELEMENTS // max(1, math.prod(shape[1:])))
    if shape[0] <= most:
        return np.arange(shape[0])
    low, high = np.full(shape, np.inf), np.full(shape, -np.inf)
    for scores in member_scores:
        whole = np.asarray(scores[:], dtype=np.float64)
        np.minimum(low, whole, out=low)
        np.maximum(high, whole, out=high)
    keys = _hashes((low + high).reshape(shape[0], -1), seed)
    return np.sort(keys.argsort(kind="stable")[:most])


def _hashes(values: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.uint64]:
    """(N,) hashes of rows (N, C): their bits, times odd numbers, mixed as splitmix64 does (Steele et al. 2014)."""
    odd = np.random.default_rng(seed).integers(1, 1 << 63, size=values.shape[1], dtype=np.uint64) * np.uint64(2)
    bits = np.ascontiguousarray(values).view(np.uint64)
    mixed: npt.NDArray[np.uint64] = ((bits ^ (bits >> np.uint64(29))) * (odd + np.uint64(1))).sum(axis=1)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
