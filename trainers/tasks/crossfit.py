"""Honest figures of fitted post-processing: every row is predicted by a fit that has not seen it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from foldtune.trainers.data.splits import make_splits

if TYPE_CHECKING:
    from foldtune.trainers.tasks.base import Predictions, Scores, Targets, Task


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
        splits: (N,) as of `make_splits` (give it the groups, where there are any); by default five
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
    """``metric`` of `cross_fitted_predictions`, over all rows pooled."""
    predictions = cross_fitted_predictions(task, scores, targets, metric, splits)
    return task.evaluate(scores, predictions, targets)[metric]
