"""What an ensemble is worth: votes fitted on some rows and judged on others. Plain arrays, no Ray, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foldtune.search.voting.bootstrap import SAMPLES, Interval, bootstrap_interval, paired_interval
from foldtune.search.voting.combiner import VOTINGS, EnsembleCombiner, check_voting
from foldtune.search.voting.crossfit import CrossFit, splits_for_choosing
from foldtune.search.voting.evaluation import gain_sign, metric_of
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions

if TYPE_CHECKING:
    from foldtune.results.runs.ranking import Goal  # which knows Optuna; predictions need neither

__all__ = ["VOTINGS", "EnsembleCombiner", "Estimate", "Member", "best_single", "estimate"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Member:
    """A configuration with its fold models' scores.

    Attributes:
        trial_id: its name, of which an ensemble has no other: of a search, or "run/trial" of several.
        scores: (N, ...) out-of-fold scores, each row by the model that was not trained on it.
        fold_values: the metric on each fold's rows.
        test_scores: (T, ...) mean over its fold models, None without test rows.
    """

    trial_id: str
    scores: Array
    fold_values: tuple[float, ...]
    test_scores: Array | None = None


@dataclass(frozen=True)
class Estimate:
    """The cross-fitted estimate of an ensemble.

    Attributes:
        combiner: fitted on all rows, for new ones.
        scores: (N, ...) of the vote, cross-fitted: each fold's rows by a combiner fitted on the other folds.
        predictions: (N, ...) of the same combiners.
        metrics: metrics of those pooled scores and predictions.
        member_values: the metric of each member alone, its post-processing cross-fitted the same way.
        interval: the metric with its bootstrap interval (95%).
        gain: the metric less that of the member that does best alone, with its paired bootstrap interval. The best
            of several was chosen by the rows that evaluate it, so the gain is rather too small than too large.
        compared: for auto, the cross-fitted metric of each method; the best of them flatters a little, and
            ``metrics`` does not: there each fold's method was chosen by the other folds.
    """

    combiner: EnsembleCombiner
    scores: Array
    predictions: Array
    metrics: dict[str, float]
    member_values: tuple[float, ...]
    interval: Interval
    gain: Interval
    compared: Mapping[str, float] = field(default_factory=dict)


def estimate(
    task: Task,
    members: Sequence[Member],
    targets: Array,
    folds: npt.NDArray[np.int64],
    metric: str,
    *,
    voting: str,
    min_votes: int | None = None,
    seed: int = 0,
    groups: Array | None = None,
    samples: int = SAMPLES,
    untuned: Mapping[str, Any] | None = None,
) -> Estimate:
    """Fit the vote, and evaluate it on rows that it was not fitted on.

    Args:
        targets: (N, ...) of the members' rows.
        folds: (N,) fold of each row; the combiner evaluated on a fold is fitted on the others.
        voting: one of VOTINGS. For auto the choice of the method, too, is made on the other folds.
        min_votes: votes needed in a hard vote, 1 to M.
        seed: seed of greedy's bags, of the sample of very many rows, and of the bootstrap.
        groups: (N,) rows of one group are drawn together by the bootstrap.
        samples: number of bootstrap samples, >= 0; 0 sets both bounds to the value.
        untuned: the post-processing where `metric` is one of scores, so none is fitted; the task's default if None.

    Raises:
        InputError: a voting that does not fit the task, the metric or the number of members.
    """
    check_voting(task, metric, voting, len(members), min_votes)
    member_scores = [member.scores for member in members]
    splits = splits_for_choosing(task, targets, folds, groups) if voting == "auto" else folds
    fit = CrossFit(task, member_scores, targets, metric, splits, min_votes=min_votes, seed=seed, untuned=untuned)
    answers = fit.answers(voting)
    alone = [cross_fitted_predictions(task, scores, targets, metric, folds) for scores in member_scores]
    pairs = zip(member_scores, alone, strict=True)
    values = [metric_of(task, metric, scores, predictions, targets) for scores, predictions in pairs]
    best = int(np.argmax(gain_sign(task, metric) * np.array(values)))
    drawn: dict[str, Any] = {"groups": groups, "samples": samples, "seed": seed}
    return Estimate(
        combiner=fit.combiner(voting),
        scores=answers[0],
        predictions=answers[1],
        metrics=task.evaluate(*answers, targets),
        member_values=tuple(values),
        interval=bootstrap_interval(task, metric, answers, targets, **drawn),
        gain=paired_interval(task, metric, answers, (member_scores[best], alone[best]), targets, **drawn),
        compared=fit.compared() if voting == "auto" else {},
    )


def best_single(members: Sequence[Member], values: Sequence[float], goal: Goal) -> tuple[str, float]:
    """Trial id and value of the member that does best alone; the first of equals."""
    best = 0
    for index, value in enumerate(values):
        if goal.better(value, values[best]):
            best = index
    return members[best].trial_id, values[best]
