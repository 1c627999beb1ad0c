"""Metrics of an epoch's validation logits, by post-processing that never sees the rows it predicts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from foldtune.errors import TrialFailed
from foldtune.trainers.arrays.types import Mode
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.fitting.fit_types import Best, FoldData, Logits
from foldtune.trainers.fitting.judged_scores import JudgedScores
from foldtune.trainers.settings import TUNED
from foldtune.trainers.tasks.base import Predictions, Scores, Task


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
        self._task, self._data, self._postprocess = task, data, postprocess

    def metrics(self, logits: Logits, epoch: int) -> dict[str, float]:
        """Return every metric of the logits (N_valid, …); `epoch` is for messages.

        Raises:
            TrialFailed: logits or the metric are not finite.
        """
        if np.issubdtype(logits.dtype, np.floating) and not np.isfinite(logits).all():
            raise TrialFailed(f"validation logits are not finite after epoch {epoch}; the lr may be too high")
        judged = self._judged(logits)
        if isinstance(self._postprocess, str):
            answers = self._cross_fitted(judged)
        else:
            answers = judged.predict(self._postprocess)
        metrics = self._task.evaluate(*answers, judged.targets)
        if not math.isfinite(metrics[self.metric]):
            raise TrialFailed(f"{self.metric} is {metrics[self.metric]} after epoch {epoch}")
        return metrics

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
        fixed = self.metric not in self._task.tunable_metrics and self._data.cases is None
        if fixed or self._postprocess == TUNED:
            return metrics[self.metric]
        judged = self._judged(logits)
        return self._task.evaluate(*self._cross_fitted(judged), judged.targets)[self.metric]

    def _judged(self, logits: Logits) -> JudgedScores:
        """Return what is judged of the logits (N_valid, …): the validation rows, or their cases."""
        rows, cases = self._data.valid_rows, self._data.cases
        scores, targets = self._task.scores(logits), self._data.targets[rows]
        return JudgedScores.of(self._task, scores, targets, None if cases is None else cases[rows])

    def _cross_fitted(self, judged: JudgedScores) -> tuple[Scores, Predictions]:
        """Return scores and predictions by post-processing fitted on other splits, in which groups stay together."""
        groups = None if self._data.groups is None else self._data.groups[self._data.valid_rows[judged.rows]]
        return judged.cross_fitted(self.metric, make_splits(self._task.strata(judged.targets), groups))


def _is_better(value: float, best: float, mode: Mode) -> bool:
    return value > best if mode == "max" else value < best
