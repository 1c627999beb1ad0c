"""Metrics of an epoch's validation logits, by post-processing that never sees the rows it predicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import TrialFailed
from foldtune.trainers.arrays.types import Mode
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.fitting.fit_types import Best, FoldData, Logits
from foldtune.trainers.postprocess.case_scores import Cases, reduction_of
from foldtune.trainers.settings import TUNED
from foldtune.trainers.tasks.base import Predictions, Scores, Task
from foldtune.trainers.tasks.crossfit import (
    by_reduction,
    cross_fitted_cases,
    cross_fitted_predictions,
    cross_fitted_score,
)


class Evaluator:
    """Evaluates the epochs of one training on the validation rows of its fold.

    Args:
        metric: name of a metric of the task; the best epoch is the one that is best by it.
        postprocess: fixed values by name, or TUNED for values that are fitted, cross-fitted, to the validation rows.

    Attributes:
        mode: "max" or "min", the better direction of the metric.

    Raises:
        SettingsError: the task has no such metric.
    """

    def __init__(self, task: Task, data: FoldData, metric: str, postprocess: Mapping[str, Any] | str) -> None:
        self.metric, self.mode = metric, task.mode(metric)
        self._task, self._postprocess = task, postprocess
        self._data = data
        self._cases = None if data.cases is None else Cases.of(data.cases[data.valid_rows])

    def metrics(self, logits: Logits, epoch: int) -> dict[str, float]:
        """Return every metric of the logits (N_valid, …); `epoch` is for messages.

        Raises:
            TrialFailed: logits or the metric are not finite.
        """
        if np.issubdtype(logits.dtype, np.floating) and not np.isfinite(logits).all():
            raise TrialFailed(f"validation logits are not finite after epoch {epoch}; the lr may be too high")
        scores, predictions = self._answers(self._task.scores(logits))
        metrics = self._task.evaluate(scores, predictions, self._targets)
        if not math.isfinite(metrics[self.metric]):
            raise TrialFailed(f"{self.metric} is {metrics[self.metric]} after epoch {epoch}")
        return metrics

    def _answers(self, scores: Scores) -> tuple[Scores, Predictions]:
        """Return scores and predictions of what is judged: the validation rows, or their cases."""
        if self._cases is None:
            return scores, self.predictions(scores)
        if isinstance(self._postprocess, str):
            return self._fitted_cases(scores)
        how = reduction_of(self._postprocess)
        scores = self._cases.reduce(scores, how, exclusive=self._task.exclusive_classes)
        return scores, self.predictions(scores)

    def _fitted_cases(self, scores: Scores) -> tuple[Scores, Predictions]:
        assert self._cases is not None
        reduced = by_reduction(self._task, scores, self._cases)
        return cross_fitted_cases(self._task, reduced, self._targets, self.metric, self._splits)

    def predictions(self, scores: Scores) -> Predictions:
        """Return predictions of what is judged; TUNED post-processing is never fitted on the rows it predicts."""
        if isinstance(self._postprocess, str):
            return cross_fitted_predictions(self._task, scores, self._targets, self.metric, self._splits)
        return self._task.predict(scores, self._postprocess)

    def evaluate(self, logits: Logits, epoch: int, best: Best | None) -> tuple[dict[str, float], Best]:
        """Return the metrics of the logits (N_valid, …) of an epoch, and the best epoch so far. Raises as `metrics`."""
        metrics = self.metrics(logits, epoch)
        value = metrics[self.metric]
        if best is not None and not _is_better(value, best.value, self.mode):
            return metrics, best
        tuned = {f"{self.metric}_tuned": self.tuned(logits, metrics)}
        return metrics, Best(epoch, value, metrics | tuned, logits)

    def tuned(self, logits: Logits, metrics: Mapping[str, float]) -> float:
        """Return the metric with cross-fitted post-processing; `metrics` are those of the same logits."""
        fixed = self.metric not in self._task.tunable_metrics and self._cases is None
        if fixed or self._postprocess == TUNED:
            return metrics[self.metric]
        scores = self._task.scores(logits)
        if self._cases is not None:
            return self._task.evaluate(*self._fitted_cases(scores), self._targets)[self.metric]
        return cross_fitted_score(self._task, scores, self._targets, self.metric, self._splits)

    @property
    def _splits(self) -> npt.NDArray[np.int64]:
        """Splits of what is judged for cross-fitting; rows of a group stay together."""
        groups = None if self._data.groups is None else self._data.groups[self._judged_rows]
        return make_splits(self._task.strata(self._targets), groups)

    @property
    def _targets(self) -> npt.NDArray[Any]:
        return self._data.targets[self._judged_rows]

    @property
    def _judged_rows(self) -> npt.NDArray[np.int64]:
        """Rows that are judged: those of validation, of a case its first."""
        rows = self._data.valid_rows
        return rows if self._cases is None else rows[self._cases.first]


def _is_better(value: float, best: float, mode: Mode) -> bool:
    return value > best if mode == "max" else value < best
