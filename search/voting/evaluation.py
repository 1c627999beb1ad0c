"""Evaluation of many blends of stored scores: only the requested metric, on a sample of very many rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.tasks import Task

Array = npt.NDArray[Any]

MAX_ELEMENTS = 50_000
"""Maximum number of scores (rows times scores per row) on which one blend of very many is evaluated."""
MIN_ROWS = 500


def metric_of(
    task: Task, metric: str, scores: Array, predictions: Array, targets: Array, rows: Array | None = None
) -> float:
    """Return one metric of all N rows, or of `rows` (R,); scores are not sorted where predictions alone decide it."""
    if rows is None:
        rows = np.arange(len(targets))
    if metric in task.tunable_metrics:
        drawn = np.broadcast_to(np.zeros((), dtype=np.float64), (len(rows), *scores.shape[1:]))
    else:
        drawn = scores[rows]
    return task.metric_value(metric, drawn, predictions[rows], targets[rows])


@dataclass(frozen=True)
class Objective:
    """Labelled rows, and the metric by which answers for them are evaluated.

    Attributes:
        targets: (N, ...) targets of the rows.
    """

    task: Task
    metric: str
    targets: Array

    @property
    def sign(self) -> float:
        """Return 1 where more of the metric is better, else -1."""
        return 1.0 if self.task.mode(self.metric) == "max" else -1.0

    def value(self, scores: Array, predictions: Array, rows: Array | None = None) -> float:
        """Return the metric of scores and predictions (N, ...) of all rows, or of `rows` (R,)."""
        return metric_of(self.task, self.metric, scores, predictions, self.targets, rows)

    def fitted_value(self, scores: Array) -> float:
        """Return the metric of scores (N, ...), post-processing fitted on the same rows: too good, for all blends."""
        postprocess = self.task.fit_postprocess(scores, self.targets, self.metric)
        return self.value(scores, self.task.predict(scores, postprocess))

    def select(self, rows: Array) -> Objective:
        """Return the objective of some rows: their indices (R,) or a mask (N,)."""
        return replace(self, targets=self.targets[rows])


def differing(one: Array, other: Array) -> npt.NDArray[np.bool_]:
    """Return (N,) whether the targets (N, ...) of a row differ; NaN, a missing target, equals NaN alone."""
    if one.shape != other.shape:
        return np.ones(len(one), dtype=np.bool_)
    same = np.asarray(one == other)
    if one.dtype.kind == "f":
        same |= np.isnan(one) & np.isnan(other)
    return np.asarray(~same.reshape(len(one), -1).all(axis=1))


def choose_rows(member_scores: Sequence[Array], seed: int = 0) -> npt.NDArray[np.int64]:
    """Return indices, ascending, of at most as many of the N rows as MAX_ELEMENTS allows.

    They are drawn by a hash of M members' scores (N, ...): the same images in any order of rows and
    members. One member is in memory at a time.
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
    """Return (N,) hashes of rows (N, C): bits times odd numbers, mixed as by splitmix64 (Steele et al. 2014)."""
    odd = np.random.default_rng(seed).integers(1, 1 << 63, size=values.shape[1], dtype=np.uint64) * np.uint64(2)
    bits = np.ascontiguousarray(values).view(np.uint64)
    mixed: npt.NDArray[np.uint64] = ((bits ^ (bits >> np.uint64(29))) * (odd + np.uint64(1))).sum(axis=1)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
