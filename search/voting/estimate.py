"""The estimate of an ensemble: votes fitted on some rows and evaluated on others. Plain arrays, no Ray, no files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.results.records.ranking import Goal
from foldtune.search.voting.bootstrap import Bootstrap, Interval, bootstrap_interval, paired_interval
from foldtune.search.voting.columns import Columns
from foldtune.search.voting.combiner import VOTINGS, EnsembleCombiner, check_voting
from foldtune.search.voting.crossfit import CrossFit, splits_for_choosing
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions

__all__ = ["VOTINGS", "EnsembleCombiner", "Estimate", "Member", "best_single", "estimate"]

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Member:
    """A configuration with its fold models' scores.

    Attributes:
        trial_id: id of the trial, or "run/trial" where an ensemble has members of several runs; unique in an ensemble.
        scores: (N, ...) out-of-fold scores, each row by the model that was not trained on it.
        fold_values: the metric on each fold's rows.
        test_scores: (T, ...) mean over the fold models, None without test rows.
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
    objective: Objective,
    members: Sequence[Member],
    folds: npt.NDArray[np.int64],
    *,
    voting: str,
    min_votes: int | None = None,
    bootstrap: Bootstrap | None = None,
    fixed: Mapping[str, Any] | None = None,
    columns: Columns | None = None,
) -> Estimate:
    """Fit the vote, and evaluate it on rows that it was not fitted on.

    Args:
        folds: (N,) fold of each row; the combiner evaluated on a fold is fitted on the others. Rows of one fold alone
            are split once more for that.
        voting: one of VOTINGS. For auto the choice of the method, too, is made on the other folds.
        min_votes: votes needed in a hard vote, 1 to M.
        bootstrap: samples of the intervals. Its groups stay together in the splits of auto, too; its seed is also that
            of greedy's bags, and of the sample of very many rows.
        fixed: the post-processing that the user fixed, of the vote and of each member, whatever the metric.
        columns: columns of the N rows beside the scores, None without any.

    Raises:
        InputError: a voting that does not fit the task, the metric or the number of members.
    """
    bootstrap = bootstrap or Bootstrap()
    task, metric, targets = objective.task, objective.metric, objective.targets
    check_voting(task, metric, voting, len(members), min_votes, columns=columns is not None)
    member_scores = [member.scores for member in members]
    if len(np.unique(folds)) == 1:  # a given validation part: votes are cross-fitted inside of it
        folds = make_splits(task.strata(targets), bootstrap.groups)
    splits = splits_for_choosing(task, targets, folds, bootstrap.groups) if voting == "auto" else folds
    fit = CrossFit(
        objective,
        member_scores,
        splits,
        min_votes=min_votes,
        seed=bootstrap.seed,
        fixed=fixed,
        columns=columns,
        groups=bootstrap.groups,
    )
    answers = fit.answers(voting)
    alone = [
        cross_fitted_predictions(task, scores, targets, metric, folds) if fixed is None else task.predict(scores, fixed)
        for scores in member_scores
    ]
    values = [objective.value(*answer) for answer in zip(member_scores, alone, strict=True)]
    best = int(np.argmax(objective.sign * np.array(values)))
    return Estimate(
        combiner=fit.combiner(voting),
        scores=answers[0],
        predictions=answers[1],
        metrics=task.evaluate(*answers, targets),
        member_values=tuple(values),
        interval=bootstrap_interval(objective, answers, bootstrap),
        gain=paired_interval(objective, answers, (member_scores[best], alone[best]), bootstrap),
        compared=fit.compared() if voting == "auto" else {},
    )


def best_single(members: Sequence[Member], values: Sequence[float], goal: Goal) -> tuple[str, float]:
    """Return the trial id and the value of the member that does best alone; the first of equals."""
    best = max(range(len(values)), key=lambda place: goal.sign * values[place])
    return members[best].trial_id, values[best]
