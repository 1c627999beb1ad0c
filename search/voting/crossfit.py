"""Cross-fitted votes: every row is predicted by a combiner, and a choice of method, that was not fitted on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.search.voting.columns import Columns
from foldtune.search.voting.combiner import EnsembleCombiner, fit_method, methods_for
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.arrays.lazy import concatenate
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.tasks import Task

Array = npt.NDArray[Any]
Splits = npt.NDArray[np.int64]

_NONE: frozenset[int] = frozenset()
_PLACES = 6  # of a metric: a method that is no better than a simpler one by these is not taken


def splits_for_choosing(task: Task, targets: Array, folds: Splits, groups: Array | None) -> Splits:
    """Return splits (N,) on which methods can be compared: the folds, each halved where there are only two.

    A choice needs a split to evaluate it and two more, one to fit and one to compare on. Groups (N,) stay together.
    """
    if len(np.unique(folds)) > 2:
        return folds
    return 2 * folds + make_splits(task.strata(targets), groups, n_splits=2)


class CrossFit:
    """Combiners of M members, each fitted on the rows of all splits but some, and at most once.

    Args:
        member_scores: M arrays (N, ...), out of fold.
        splits: (N,) split of each row.
        min_votes: votes needed in hard votes.
        fixed: the post-processing that the user fixed, so none is fitted; None fits it, or takes the task's default
            where `metric` is one of scores.
        columns: columns of the N rows beside the scores, with which stack is one more method.
        groups: (N,) groups that stay together where a method splits the rows again.
    """

    def __init__(
        self,
        objective: Objective,
        member_scores: Sequence[Array],
        splits: Splits,
        *,
        min_votes: int | None = None,
        seed: int = 0,
        fixed: Mapping[str, Any] | None = None,
        columns: Columns | None = None,
        groups: Array | None = None,
    ) -> None:
        self._objective, self._task, self._scores = objective, objective.task, member_scores
        self._splits, self._names = splits, tuple(np.unique(splits).tolist())
        self._min_votes, self._seed = min_votes, seed
        self._fixed, self._columns, self._groups = fixed, columns, groups
        self._methods = methods_for(self._task, objective.metric, columns=columns is not None)
        self._combiners: dict[tuple[str, frozenset[int]], EnsembleCombiner] = {}

    def combiner(self, voting: str) -> EnsembleCombiner:
        """Return the combiner fitted on all rows; for auto of the method that does best cross-fitted."""
        return self._fit(self._choose(_NONE) if voting == "auto" else voting, _NONE)

    def answers(self, voting: str) -> tuple[Array, Array]:
        """Return cross-fitted scores and predictions (N, ...); for auto each split's method is chosen on the others."""
        if voting != "auto":
            return self._predict(voting, _NONE)
        without = {name: frozenset({name}) for name in self._names}
        return self._join({name: self._fit(self._choose(one), one) for name, one in without.items()})

    def compared(self) -> dict[str, float]:
        """Return the metric of `answers` of every allowed method, the simplest first."""
        return {method: self._value(method, _NONE) for method in self._methods}

    def _choose(self, without: frozenset[int]) -> str:
        """Return the method that does best cross-fitted outside of the splits `without`; the simplest of equals."""
        if len(self._names) - len(without) < 2:
            return self._methods[0]
        values = [round(self._objective.sign * self._value(method, without), _PLACES) for method in self._methods]
        return self._methods[int(np.argmax(values))]

    def _value(self, method: str, without: frozenset[int]) -> float:
        scores, predictions = self._predict(method, without)
        return self._objective.select(self._outside(without)).value(scores, predictions)

    def _predict(self, method: str, without: frozenset[int]) -> tuple[Array, Array]:
        """Return cross-fitted scores and predictions of the rows outside of the splits `without`."""
        names = [name for name in self._names if name not in without]
        return self._join({name: self._fit(method, without | {name}) for name in names})

    def _join(self, combiners: dict[int, EnsembleCombiner]) -> tuple[Array, Array]:
        """Return scores and predictions of the rows of these splits, each by its combiner, in the order of the rows."""
        splits = self._splits[np.isin(self._splits, list(combiners))]
        answers = [
            combiner.apply(
                self._task,
                [scores[self._splits == name] for scores in self._scores],
                self._columns_of(self._splits == name),
            )
            for name, combiner in combiners.items()
        ]
        order = np.argsort(np.concatenate([np.flatnonzero(splits == name) for name in combiners]))
        scores, predictions = zip(*answers, strict=True)
        return concatenate(scores)[order], concatenate(predictions)[order]

    def _fit(self, method: str, without: frozenset[int]) -> EnsembleCombiner:
        """Return the combiner fitted on the rows outside of the splits `without`; a uniform one without rows."""
        key = (method, without)
        if key not in self._combiners:
            rows = self._outside(without)
            combiner = (
                fit_method(
                    self._objective.select(rows),
                    [scores[rows] for scores in self._scores],
                    voting=method,
                    min_votes=self._min_votes,
                    seed=self._seed,
                    columns=self._columns_of(rows),
                    groups=None if self._groups is None else self._groups[rows],
                )
                if rows.any()
                else EnsembleCombiner.uniform(self._task, len(self._scores))
            )
            self._combiners[key] = combiner if self._fixed is None else combiner.with_postprocess(self._fixed)
        return self._combiners[key]

    def _columns_of(self, rows: Array) -> Columns | None:
        return None if self._columns is None else self._columns.select(rows)

    def _outside(self, without: frozenset[int]) -> npt.NDArray[np.bool_]:
        return ~np.isin(self._splits, list(without))
