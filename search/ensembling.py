"""Votes of the finalists: out-of-fold scores in, predictions and honest figures out. Plain arrays, no Ray, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainers.postprocess.crossfit import cross_fitted_predictions
from trainers.tasks import Task

if TYPE_CHECKING:
    from search.recorder import Goal  # which knows Optuna; predictions need neither

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Member:
    """A configuration with its fold models' scores.

    Attributes:
        trial_id: of the search.
        scores: (N, ...) out-of-fold scores, each row by the model that was not trained on it.
        fold_values: the metric on each fold's rows.
        test_scores: (T, ...) mean over its fold models, None without test rows.
    """

    trial_id: str
    scores: Array
    fold_values: tuple[float, ...]
    test_scores: Array | None = None


@dataclass(frozen=True)
class Ballot:
    """How members become one answer. Fitted on rows, applied to others.

    Attributes:
        voting: soft or hard.
        min_votes: of a hard vote.
        postprocess: of the mean scores; a hard vote falls back to it.
        member_postprocess: of each member, for a hard vote.
    """

    voting: str
    min_votes: int | None
    postprocess: Mapping[str, Any]
    member_postprocess: tuple[Mapping[str, Any], ...]

    def apply(self, task: Task, member_scores: Sequence[Array]) -> tuple[Array, Array]:
        """Mean scores and predictions (N, ...) of M members' scores (N, ...)."""
        predictions = None
        if self.voting == "hard":
            pairs = zip(member_scores, self.member_postprocess, strict=True)
            predictions = [task.predict(scores, postprocess) for scores, postprocess in pairs]
        return task.vote(
            member_scores,
            predictions,
            voting=self.voting,
            min_votes=self.min_votes,
            postprocess=self.postprocess,
        )


def fit_ballot(
    task: Task,
    member_scores: Sequence[Array],
    targets: Array,
    metric: str,
    *,
    voting: str,
    min_votes: int | None = None,
) -> Ballot:
    """Fit the post-processing of a vote on labelled rows.

    Args:
        member_scores: M arrays (N, ...), of models that were not trained on these rows.
        targets: (N, ...).
        metric: what the fit is good at.
    """
    mean, _ = task.vote(member_scores, voting="soft")
    own: tuple[Mapping[str, Any], ...] = ()
    if voting == "hard":
        own = tuple(task.fit_postprocess(scores, targets, metric) for scores in member_scores)
    return Ballot(voting, min_votes, task.fit_postprocess(mean, targets, metric), own)


@dataclass(frozen=True)
class Estimate:
    """What an ensemble is worth on rows that none of its parts has seen.

    Attributes:
        ballot: fitted on all rows, for new ones.
        scores: (N, ...) mean out-of-fold scores.
        predictions: (N, ...) cross-fitted: each fold's rows by a ballot fitted on the other folds.
        metrics: of those predictions, pooled.
        member_values: the metric of each member alone, cross-fitted the same way.
    """

    ballot: Ballot
    scores: Array
    predictions: Array
    metrics: dict[str, float]
    member_values: tuple[float, ...]


def estimate(
    task: Task,
    members: Sequence[Member],
    targets: Array,
    folds: npt.NDArray[np.int64],
    metric: str,
    *,
    voting: str,
    min_votes: int | None = None,
) -> Estimate:
    """Fit the vote, and judge it on rows that it was not fitted on.

    Args:
        targets: (N, ...) of the members' rows.
        folds: (N,) fold of each row; the ballot that judges a fold is fitted on the others.
    """
    scores = [member.scores for member in members]
    mean, predictions = task.vote(scores, voting="soft")
    predictions = predictions.copy()
    for fold in np.unique(folds):
        held_out = folds == fold
        ballot = fit_ballot(
            task,
            [values[~held_out] for values in scores],
            targets[~held_out],
            metric,
            voting=voting,
            min_votes=min_votes,
        )
        predictions[held_out] = ballot.apply(task, [values[held_out] for values in scores])[1]
    return Estimate(
        ballot=fit_ballot(task, scores, targets, metric, voting=voting, min_votes=min_votes),
        scores=mean,
        predictions=predictions,
        metrics=task.evaluate(mean, predictions, targets),
        member_values=tuple(_alone(task, values, targets, metric, folds) for values in scores),
    )


def _alone(task: Task, scores: Array, targets: Array, metric: str, folds: npt.NDArray[np.int64]) -> float:
    predictions = cross_fitted_predictions(task, scores, targets, metric, folds)
    return task.evaluate(scores, predictions, targets)[metric]


def best_single(members: Sequence[Member], values: Sequence[float], goal: Goal) -> tuple[str, float]:
    """Trial id and value of the member that does best alone; the first of equals."""
    best = 0
    for index, value in enumerate(values):
        if goal.better(value, values[best]):
            best = index
    return members[best].trial_id, values[best]
