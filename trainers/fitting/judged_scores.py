"""What is judged of the scores of rows, the rows or their cases, and post-processing of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.postprocess.case_scores import Cases, reduction_of, without_reduction
from foldtune.trainers.tasks.base import Postprocess, Predictions, Scores, Targets, Task
from foldtune.trainers.tasks.crossfit import by_reduction, cross_fitted_cases, cross_fitted_predictions, fit_cases


@dataclass(frozen=True, eq=False)
class JudgedScores:
    """Scores of what is judged: R rows, or the N cases that the rows are.

    Attributes:
        of_rows: (R, ...) scores of all rows.
        targets: (N, ...) of what is judged.
        rows: (N,) place among all rows, of a case its first.
        cases: the cases, None where rows are judged.
    """

    task: Task
    of_rows: Scores
    targets: Targets
    rows: npt.NDArray[np.int64]
    cases: Cases | None

    @classmethod
    def of(cls, task: Task, scores: Scores, targets: Targets, cases: npt.NDArray[np.str_] | None) -> JudgedScores:
        """Return what is judged of scores and targets (R, ...) of rows, by the cases (R,) of each, if any."""
        if cases is None:
            return cls(task, scores, targets, np.arange(len(targets)), None)
        found = Cases.of(cases)
        return cls(task, scores, targets[found.first], found.first, found)

    def scores(self, how: str) -> Scores:
        """Return the scores (N, ...), of cases reduced from those of their rows as `how` names it."""
        if self.cases is None:
            return self.of_rows
        return self.cases.reduce(self.of_rows, how, exclusive=self.task.exclusive_classes)

    def predict(self, postprocess: Postprocess | None) -> tuple[Scores, Predictions]:
        """Return scores and predictions (N, ...) with a post-processing, which may name a reduction of cases."""
        scores = self.scores(reduction_of(postprocess))
        return scores, self.task.predict(scores, without_reduction(postprocess or {}))

    def fit(self, metric: str) -> Postprocess:
        """Return the post-processing that is best by the metric on these rows, of cases with their reduction."""
        if self.cases is None:
            return self.task.fit_postprocess(self.of_rows, self.targets, metric)
        return fit_cases(self.task, self._reduced, self.targets, metric)

    def cross_fitted(self, metric: str, splits: npt.NDArray[np.int64]) -> tuple[Scores, Predictions]:
        """Return scores and predictions (N, ...): each of the splits (N,) by a post-processing fitted on the others."""
        if self.cases is None:
            return self.of_rows, cross_fitted_predictions(self.task, self.of_rows, self.targets, metric, splits)
        return cross_fitted_cases(self.task, self._reduced, self.targets, metric, splits)

    @cached_property
    def _reduced(self) -> dict[str, Any]:
        assert self.cases is not None
        return by_reduction(self.task, self.of_rows, self.cases)
