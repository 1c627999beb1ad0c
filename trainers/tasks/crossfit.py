"""Post-processing beyond the rows of its fit: cross-fits of rows and of cases, thresholds for means of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.metrics.classification import FloatArray
from foldtune.trainers.postprocess.case_scores import CASE_REDUCE, REDUCTIONS, Cases, without_reduction
from foldtune.trainers.postprocess.thresholds import DEFAULT_THRESHOLD, bounded

if TYPE_CHECKING:
    from foldtune.trainers.tasks.base import Postprocess, Predictions, Scores, Targets, Task


def cross_fitted_predictions(
    task: Task,
    scores: Scores,
    targets: Targets,
    metric: str,
    splits: npt.NDArray[np.int64] | None = None,
) -> Predictions:
    """Predictions (N, ...): the rows of a split with the post-processing fitted on all the other splits.

    Args:
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


def by_reduction(task: Task, scores: Scores, cases: Cases) -> dict[str, Scores]:
    """Return the scores (C, ...) of the cases of N rows by each reduction."""
    return {how: cases.reduce(scores, how, exclusive=task.exclusive_classes) for how in REDUCTIONS}


def fit_cases(task: Task, reduced: Mapping[str, Scores], targets: Targets, metric: str) -> dict[str, Any]:
    """Return the best post-processing by `metric` on these cases, with its reduction; the first of equals.

    Args:
        reduced: scores (C, ...) by reduction.
        targets: (C, ...).
    """
    sign = 1.0 if task.mode(metric) == "max" else -1.0
    best: tuple[float, dict[str, Any]] | None = None
    for how, scores in reduced.items():
        fitted = task.fit_postprocess(scores, targets, metric)
        value = sign * task.metric_value(metric, scores, task.predict(scores, fitted), targets)
        if best is None or value > best[0] + 1e-12:
            best = (value, {**fitted, CASE_REDUCE: how})
    assert best is not None
    return best[1]


def cross_fitted_cases(
    task: Task, reduced: Mapping[str, Scores], targets: Targets, metric: str, splits: npt.NDArray[np.int64]
) -> tuple[Scores, Predictions]:
    """Return scores and predictions (C, ...): each split by reduction and post-processing fitted on the others.

    Args:
        reduced, targets, metric: as of `fit_cases`.
        splits: (C,) as of `make_splits`.
    """
    scores = np.array(reduced["mean"])
    predictions = task.predict(scores, task.default_postprocess())
    for split in np.unique(splits):
        held_out = splits == split
        if held_out.all():  # a single case, or a single group: nothing to fit on
            break
        others = {how: each[~held_out] for how, each in reduced.items()}
        fitted = fit_cases(task, others, targets[~held_out], metric)
        scores[held_out] = reduced[fitted[CASE_REDUCE]][held_out]
        predictions[held_out] = task.predict(scores[held_out], without_reduction(fitted))
    return scores, predictions


MIN_ROWS = 100
_NAMES = ({"threshold"}, {"threshold", "thresholds"})


def is_threshold_only(task: Task) -> bool:
    """Return whether the task's post-processing consists of thresholds of its scores alone."""
    return set(task.postprocess_names) in _NAMES


def transfer_thresholds(task: Task, postprocess: Postprocess, single: Scores, averaged: Scores) -> dict[str, Any]:
    """Return post-processing for means of fold models; unchanged for tasks without thresholds and for few rows.

    An out-of-fold row is scored by one model, a test row by the mean of K, which is less extreme: a threshold that is
    not in the middle of the scores is then exceeded by fewer rows, or more. Going half of the way to the quantile of
    the out-of-fold rows was measured to be best (docs/decisions/0003).

    Args:
        postprocess: post-processing that was fitted to ``single``.
        single: (N,) or (N, L) out-of-fold scores.
        averaged: (T,) or (T, L) mean scores of the fold models on unlabelled rows.
    """
    if not is_threshold_only(task) or len(averaged) < MIN_ROWS:
        return dict(postprocess)
    common = float(postprocess.get("threshold", DEFAULT_THRESHOLD))
    if single.ndim == 1:
        return {**postprocess, "threshold": _between(common, single, averaged)}
    own: Mapping[str, float] = {str(label): value for label, value in postprocess.get("thresholds", {}).items()}
    adapted = {
        label: _between(float(own.get(label, common)), single[:, place], averaged[:, place])
        for place, label in enumerate(task.label_names)
    }
    return {**postprocess, "thresholds": adapted}


def _between(threshold: float, single: npt.NDArray[Any], averaged: npt.NDArray[Any]) -> float:
    """Return the threshold half-way, in logit space, to the one that the same share of averaged scores (T,) reaches."""
    share = float((bounded(single) >= threshold).mean())
    if not 0.0 < share < 1.0:
        return threshold
    kept = float(np.quantile(bounded(averaged), 1.0 - share))
    ends: FloatArray = logit(bounded(np.array([threshold, kept])))
    return float(expit(ends.mean()))
