"""The reduction of cases together with the rest of the post-processing, fitted to stored scores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.postprocess.case_scores import CASE_REDUCE, REDUCTIONS, Cases, without_reduction

if TYPE_CHECKING:
    from foldtune.trainers.tasks.base import Predictions, Scores, Targets, Task


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
