"""Honest figures of fitted post-processing: every row is predicted by a fit that has not seen it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from foldtune.trainers.tasks.base import Predictions, Scores, Targets, Task


def make_splits(
    strata: npt.NDArray[np.int64],
    groups: npt.NDArray[Any] | None = None,
    *,
    n_splits: int = 5,
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """Split numbers (N,) from 0 that deal each stratum out evenly, however few rows it has.

    Args:
        strata: (N,) classes, or (N, L) 0/1, where a row counts by the rarest label it has.
        groups: (N,) rows of one group stay together; the group counts by its first row.
        n_splits: at least 2; no more than there are rows (groups) get used.
        seed: of the order within a stratum.
    """
    if groups is not None:
        _, first, members = np.unique(groups, return_index=True, return_inverse=True)
        return make_splits(strata[first], n_splits=n_splits, seed=seed)[members]
    keys = strata if strata.ndim == 1 else rarest_label(strata)
    shuffled = np.random.default_rng(seed).permutation(len(keys))
    by_stratum = shuffled[keys[shuffled].argsort(kind="stable")]
    splits = np.empty(len(keys), dtype=np.int64)
    splits[by_stratum] = np.arange(len(keys)) % n_splits
    return splits


def rarest_label(strata: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """(N,) the rarest label of each row of (N, L); 0 for a row without any, so L labels are 1 to L."""
    rarity = 1.0 / np.maximum(strata.sum(axis=0), 1)
    weighted = np.where(strata > 0, rarity, 0.0)
    return np.where(strata.any(axis=1), weighted.argmax(axis=1) + 1, 0)


def cross_fitted_predictions(
    task: Task,
    scores: Scores,
    targets: Targets,
    metric: str,
    splits: npt.NDArray[np.int64] | None = None,
) -> Predictions:
    """Predictions (N, ...): the rows of a split with the post-processing fitted on all the other splits.

    Args:
        task: whose post-processing to fit.
        scores: (N, ...) scores that no model was trained on.
        targets: (N, ...).
        metric: what the fit maximises; for one that is not tunable the default post-processing predicts.
        splits: (N,) as of :func:`make_splits` (give it the groups, where there are any); by default five
            splits balanced by the task's strata.
    """
    if metric not in task.tunable_metrics:
        return task.predict(scores, task.default_postprocess())
    if splits is None:
        splits = make_splits(task.strata(targets))
    predictions: Predictions | None = None
    for split in np.unique(splits):
        held_out = splits == split
        fitted = (
            task.default_postprocess()
            if held_out.all()  # a single row, or a single group: nothing to fit on
            else task.fit_postprocess(scores[~held_out], targets[~held_out], metric)
        )
        part = task.predict(scores[held_out], fitted)
        if predictions is None:
            predictions = np.empty((len(scores), *part.shape[1:]), dtype=part.dtype)
        predictions[held_out] = part
    assert predictions is not None  # N >= 1
    return predictions


def cross_fitted_score(
    task: Task,
    scores: Scores,
    targets: Targets,
    metric: str,
    splits: npt.NDArray[np.int64] | None = None,
) -> float:
    """``metric`` of :func:`cross_fitted_predictions`, over all rows pooled."""
    predictions = cross_fitted_predictions(task, scores, targets, metric, splits)
    return task.evaluate(scores, predictions, targets)[metric]
