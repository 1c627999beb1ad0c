"""Combination of the members of an ensemble: fitted on labelled rows, stored as JSON, applied to any rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from foldtune.errors import InputError
from foldtune.search.voting.columns import Columns
from foldtune.search.voting.evaluation import Objective
from foldtune.search.voting.stacking import Stacker, fit_stacker
from foldtune.search.voting.weights import blend_weights, greedy_weights
from foldtune.trainers.arrays.voting import mean_scores, rank_reference, ranked
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.crossfit import is_threshold_only, transfer_thresholds
from foldtune.wording import unknown

Array = npt.NDArray[Any]

METHODS = ("soft", "hard", "weighted", "greedy", "rank", "stack")
"""The simplest first: among equally good ones the first is taken."""
VOTINGS = (*METHODS, "auto")
"""Values of `--voting`; auto is the best of the methods."""
RANKING_METRICS = frozenset({"auroc", "map"})
"""Metrics of the order of scores alone, for which ranks can be averaged."""
_WEIGHTED = ("weighted", "greedy")


def methods_for(task: Task | type[Task], metric: str, *, columns: bool = False) -> tuple[str, ...]:
    """Return the METHODS that this task and metric allow; `columns`: whether there are any to stack scores with."""
    known = {"soft", *task.votings} | ({"greedy"} if "weighted" in task.votings else set())
    known |= {"stack"} if columns and "weighted" in task.votings else set()
    return tuple(name for name in METHODS if name in known or (name == "rank" and metric in RANKING_METRICS))


def check_voting(
    task: Task | type[Task],
    metric: str,
    voting: str,
    members: int,
    min_votes: int | None = None,
    *,
    columns: bool = False,
) -> None:
    """Refuse a vote that this task, metric and number of members do not allow, or that needs columns (`data.columns`).

    Raises:
        InputError: every problem found.
    """
    problems = []
    valid = (*methods_for(task, metric, columns=columns), "auto")
    if voting == "stack" and voting not in valid:
        needed = "columns of the table, which data.columns names" if "weighted" in task.votings else "scores of classes"
        problems.append(f"voting stack: needs {needed}; choose from {', '.join(valid)}")
    elif voting == "rank" and voting not in valid:
        ranking = [name for name in task.metrics if name in RANKING_METRICS]
        serves = f"metrics of an order ({', '.join(ranking)})" if ranking else "metrics of an order, which it lacks"
        problems.append(
            f"voting rank: task {task.name} can average ranks only for {serves}, not for {metric}; "
            f"choose from {', '.join(valid)}"
        )
    elif voting not in valid:
        problems.append(unknown("voting", voting, valid))
    if min_votes is not None and voting not in ("hard", "auto"):
        problems.append("min_votes: only a hard vote counts votes; use voting hard, or leave it out")
    elif min_votes is not None and not 1 <= min_votes <= members:
        problems.append(f"min_votes {min_votes}: each of {members} configurations has one vote; give 1 to {members}")
    if problems:
        raise InputError(problems)


@dataclass(frozen=True)
class EnsembleCombiner:
    """Combination of members into one prediction, fitted on some rows and applied to others.

    Attributes:
        voting: one of METHODS.
        min_votes: votes needed in a hard vote, 1 to M; a configuration has one vote, whatever the number of its folds.
        weights: weight of each of the M members, >= 0, summing to 1; equal except for weighted and greedy.
        postprocess: post-processing of the mean scores, also the fallback of a hard vote.
        member_postprocess: post-processing of each member for a hard vote, else empty.
        references: reference scores of each member for rank voting (see ``trainers.arrays.voting``), else empty.
        stacker: what stack takes its scores from, else None.
    """

    voting: str
    min_votes: int | None
    weights: tuple[float, ...]
    postprocess: Mapping[str, Any]
    member_postprocess: tuple[Mapping[str, Any], ...] = ()
    references: tuple[Array, ...] = ()
    stacker: Stacker | None = None

    @classmethod
    def uniform(cls, task: Task, members: int) -> Self:
        """Return the soft vote of M members with equal weights and default post-processing, which needs no rows."""
        return cls("soft", None, (1.0 / members,) * members, task.default_postprocess())

    def apply(self, task: Task, member_scores: Sequence[Array], columns: Columns | None = None) -> tuple[Array, Array]:
        """Return scores and predictions (N, ...) of M members' scores (N, ...); each row by itself.

        Scores are the (weighted) mean; for rank the mean rank, in [0, 1], while predictions are those of the mean; for
        stack those of the stacker, which takes columns that are not given as missing.
        """
        predictions = None
        if self.stacker is not None:
            stacked = self.stacker.scores(task, member_scores, columns)
            return stacked, task.predict(stacked, self.postprocess)
        if self.voting == "hard":
            predictions = [
                task.predict(scores, postprocess)
                for scores, postprocess in zip(member_scores, self.member_postprocess, strict=True)
            ]
        if self.voting in _WEIGHTED:
            taken = [place for place, weight in enumerate(self.weights) if weight > 0]
            weights = [self.weights[place] for place in taken]
            own = [member_scores[place] for place in taken]
            return task.vote(own, voting="weighted", weights=weights, postprocess=self.postprocess)
        scores, answer = task.vote(
            member_scores,
            predictions,
            voting="hard" if self.voting == "hard" else "soft",
            min_votes=self.min_votes,
            postprocess=self.postprocess,
        )
        if self.voting == "rank":
            ranks = [ranked(own, among) for own, among in zip(member_scores, self.references, strict=True)]
            scores = mean_scores(ranks)
        return scores, answer

    def with_postprocess(self, postprocess: Mapping[str, Any]) -> Self:
        """Return the combiner with another post-processing, of the mean scores and of each member that votes."""
        return replace(self, postprocess=postprocess, member_postprocess=(postprocess,) * len(self.member_postprocess))

    def with_adapted_thresholds(self, task: Task, member_scores: Sequence[Array], test_scores: Sequence[Array]) -> Self:
        """Return the combiner for rows scored by the mean of fold models, where a threshold decides.

        It was fitted to out-of-fold scores, which are single models' and so more extreme:
        see ``trainers.tasks.crossfit``.

        Args:
            member_scores: M arrays (N, ...), out of fold.
            test_scores: M arrays (T, ...) of unlabelled rows, each the mean over the member's fold models.
        """
        if not is_threshold_only(task) or self.stacker is not None:
            return self
        used = self.weights if self.voting in _WEIGHTED else None
        single, averaged = (mean_scores(scores, used) for scores in (member_scores, test_scores))
        own = zip(self.member_postprocess, member_scores, test_scores, strict=True) if self.member_postprocess else ()
        return replace(
            self,
            postprocess=transfer_thresholds(task, self.postprocess, single, averaged),
            member_postprocess=tuple(transfer_thresholds(task, *each) for each in own),
        )

    def votes(self, task: Task, member_scores: Sequence[Array], predictions: Array) -> npt.NDArray[np.int64]:
        """Return (N,) numbers of members whose own predictions equal `predictions`; those of weight 0 do not count.

        With several answers a row (labels), a vote is for all of them.
        """
        own = self.member_postprocess or (self.postprocess,) * len(member_scores)
        votes = np.zeros(len(predictions), dtype=np.int64)
        for scores, postprocess, weight in zip(member_scores, own, self.weights, strict=True):
            if weight > 0:
                votes += _same_rows(task.predict(scores, postprocess), predictions)
        return votes

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-able values; `from_dict` reads them back."""
        values = {
            "voting": self.voting,
            "min_votes": self.min_votes,
            "weights": list(self.weights),
            "postprocess": dict(self.postprocess),
            "member_postprocess": [dict(own) for own in self.member_postprocess],
        }
        if self.references:
            values["references"] = [np.asarray(reference).tolist() for reference in self.references]
        if self.stacker is not None:
            values["stacker"] = self.stacker.to_dict()
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the combiner in a mapping as of `to_dict`, which may hold other keys.

        One without weights, as the first ensembles were stored, has equal ones: a number for each of its ``members``.

        Raises:
            KeyError: what is missing.
        """
        weights = values.get("weights")
        if weights is None:
            members = len(values["members"])
            weights = [1.0 / members] * members
        return cls(
            voting=str(values["voting"]),
            min_votes=values["min_votes"],
            weights=tuple(float(weight) for weight in weights),
            postprocess=values["postprocess"],
            member_postprocess=tuple(values["member_postprocess"]),
            references=tuple(np.asarray(each, dtype=np.float64) for each in values.get("references", ())),
            stacker=Stacker.from_dict(values["stacker"]) if values.get("stacker") else None,
        )


def _same_rows(first: Array, second: Array) -> npt.NDArray[np.bool_]:
    """Return (N,) whether predictions agree, also those that are arrays of their own (polygons)."""
    if first.dtype.hasobject:
        return np.array([np.array_equal(one, other) for one, other in zip(first, second, strict=True)], dtype=bool)
    return np.asarray((first == second).reshape(len(first), -1).all(axis=1))


def fit_method(
    objective: Objective,
    member_scores: Sequence[Array],
    *,
    voting: str,
    min_votes: int | None = None,
    seed: int = 0,
    columns: Columns | None = None,
    groups: Array | None = None,
) -> EnsembleCombiner:
    """Fit the weights and the post-processing of one of METHODS on labelled rows.

    Args:
        member_scores: M arrays (N, ...), of models that were not trained on these rows.
        voting: one of METHODS.
        min_votes: votes needed in a hard vote, 1 to M; ignored by other methods.
        seed: seed of greedy's bags, and of the sample of very many rows.
        columns: metadata of the N rows, for stack.
        groups: (N,) rows of one group are on one side of the stacker's inner splits.
    """
    task, targets, metric = objective.task, objective.targets, objective.metric
    members = len(member_scores)
    weights: tuple[float, ...] = (1.0 / members,) * members
    own: tuple[Mapping[str, Any], ...] = ()
    references: tuple[Array, ...] = ()
    if voting == "stack" and columns is not None:
        stacker, held_out = fit_stacker(objective, member_scores, columns, groups)
        fitted = task.fit_postprocess(held_out, targets, metric)
        return EnsembleCombiner(voting, None, weights, fitted, stacker=stacker)
    if voting == "weighted":
        weights = blend_weights(task, member_scores, targets, seed=seed)
    elif voting == "greedy":
        weights = greedy_weights(objective, member_scores, seed=seed)
    elif voting == "hard":
        own = tuple(task.fit_postprocess(scores, targets, metric) for scores in member_scores)
    elif voting == "rank":
        references = tuple(rank_reference(scores) for scores in member_scores)
    postprocess = task.fit_postprocess(mean_scores(member_scores, weights), targets, metric)
    return EnsembleCombiner(voting, min_votes if voting == "hard" else None, weights, postprocess, own, references)
