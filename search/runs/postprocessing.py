"""What is judged of stored scores, rows or cases, and the post-processing that trials have by their configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.results.runs.records import Scores, TrialRecord
from foldtune.search.runs.run import Run
from foldtune.trainers.postprocess.case_scores import CASE_REDUCE, Cases, reduction_of, without_reduction
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.base import Postprocess
from foldtune.trainers.tasks.crossfit import by_reduction, cross_fitted_cases, cross_fitted_predictions, fit_cases

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class JudgedScores:
    """Stored scores of what is judged: N rows, or the N cases that the rows are.

    Attributes:
        ids: (N,) ids of the rows, or names of the cases.
        targets: (N, ...).
        rows: (N,) place among the stored rows, of a case its first.
        of_rows: scores of all stored rows.
        cases: the cases, None where rows are judged.
    """

    task: Task
    ids: npt.NDArray[np.str_]
    targets: Array
    rows: npt.NDArray[np.int64]
    of_rows: Array
    cases: Cases | None

    @classmethod
    def of(cls, task: Task, stored: Scores) -> JudgedScores:
        """Return what is judged of a trial's stored scores, which have targets."""
        assert stored.targets is not None
        scores = task.scores(stored.logits)
        if stored.cases is None:
            return cls(task, stored.ids, stored.targets, np.arange(len(stored.ids)), scores, None)
        cases = Cases.of(stored.cases)
        return cls(task, cases.names, stored.targets[cases.first], cases.first, scores, cases)

    def scores(self, how: str) -> Array:
        """Return the scores (N, ...), of cases reduced from those of their rows as `how` names it."""
        if self.cases is None:
            return self.of_rows
        return self.cases.reduce(self.of_rows, how, exclusive=self.task.exclusive_classes)

    def predict(self, postprocess: Postprocess | None) -> tuple[Array, Array]:
        """Return scores and predictions (N, ...) with a post-processing, which may name a reduction of cases."""
        scores = self.scores(reduction_of(postprocess))
        return scores, self.task.predict(scores, without_reduction(postprocess or {}))

    def fit(self, metric: str) -> Postprocess:
        """Return the post-processing that is best by the metric on these rows, of cases with their reduction."""
        if self.cases is None:
            return self.task.fit_postprocess(self.of_rows, self.targets, metric)
        return fit_cases(self.task, self._reduced, self.targets, metric)

    def cross_fitted(self, metric: str, splits: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """Return scores and predictions (N, ...): each of the splits (N,) by a post-processing fitted on the others."""
        if self.cases is None:
            return self.of_rows, cross_fitted_predictions(self.task, self.of_rows, self.targets, metric, splits)
        return cross_fitted_cases(self.task, self._reduced, self.targets, metric, splits)

    @cached_property
    def _reduced(self) -> dict[str, Array]:
        assert self.cases is not None
        return by_reduction(self.task, self.of_rows, self.cases)


def own_postprocess(run: Run, record: TrialRecord, held_out: Scores) -> Postprocess | None:
    """The post-processing of a trial's own model; a tuned one is fitted on the validation rows, all that it has."""
    postprocess = record.config.get("postprocess")
    return JudgedScores.of(run.task, held_out).fit(run.goal.metric) if isinstance(postprocess, str) else postprocess


def reduction_of_trial(run: Run, held_out: Scores, trial_id: str) -> str:
    """The reduction of cases of a trial; "mean" where rows are judged."""
    record = run.store.trial(trial_id).record()
    if held_out.cases is None or record is None:
        return "mean"
    return reduction_of(own_postprocess(run, record, held_out))


def common_postprocess(records: Sequence[TrialRecord]) -> Postprocess | None:
    """The post-processing that the space fixes for all of these trials; None if sampled, tuned or not given."""
    given = [record.config.get("postprocess") for record in records]
    first, *others = (without_reduction(each) if isinstance(each, Mapping) else each for each in given)
    names = {name for record in records for name in record.params} - {f"postprocess.{CASE_REDUCE}"}
    sampled = any(name.partition(".")[0] == "postprocess" for name in names)
    if not isinstance(first, Mapping) or not first or sampled or any(other != first for other in others):
        return None
    return first
