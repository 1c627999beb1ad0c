"""How an epoch is judged: the metrics of its validation logits, by post-processing that does not flatter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import TrialFailed
from foldtune.trainers.data.splits import make_splits
from foldtune.trainers.fitting.fit_types import Best, FoldData, Logits
from foldtune.trainers.settings import TUNED
from foldtune.trainers.tasks.base import Predictions, Scores, Task
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions, cross_fitted_score


class Judge:
    """Judges every epoch of one training on the validation rows of its fold.

    Args:
        metric: of the task; the best epoch is the one that is best by it.
        postprocess: of the settings: fixed values, or TUNED.

    Raises:
        SettingsError: the task has no such metric.
    """

    def __init__(self, task: Task, data: FoldData, metric: str, postprocess: Mapping[str, Any] | str) -> None:
        self.mode = task.mode(metric)
        self._task, self._metric, self._postprocess = task, metric, postprocess
        self._data = data

    def metrics(self, logits: Logits, epoch: int) -> dict[str, float]:
        """Every metric of the logits (N_valid, …) after `epoch`, which is for messages.

        Raises:
            TrialFailed: logits or the metric are not finite.
        """
        if np.issubdtype(logits.dtype, np.floating) and not np.isfinite(logits).all():
            raise TrialFailed(f"validation logits are not finite after epoch {epoch}; the lr may be too high")
        scores = self._task.scores(logits)
        metrics = self._task.evaluate(scores, self.predictions(scores), self._targets)
        if not math.isfinite(metrics[self._metric]):
            raise TrialFailed(f"{self._metric} is {metrics[self._metric]} after epoch {epoch}")
        return metrics

    def predictions(self, scores: Scores) -> Predictions:
        """Predictions of the validation rows; a tuned post-processing never predicts rows that it was fitted on."""
        if isinstance(self._postprocess, str):
            return cross_fitted_predictions(self._task, scores, self._targets, self._metric, self._splits)
        return self._task.predict(scores, self._postprocess)

    def better(self, value: float, best: Best | None) -> bool:
        """Whether a value of the metric is better than the best so far."""
        if best is None:
            return True
        return value > best.value if self.mode == "max" else value < best.value

    def tuned(self, logits: Logits, metrics: Mapping[str, float]) -> float:
        """The metric with post-processing fitted, cross-fitted; `metrics` are those of the same logits."""
        if self._metric not in self._task.tunable_metrics or self._postprocess == TUNED:
            return metrics[self._metric]
        scores = self._task.scores(logits)
        return cross_fitted_score(self._task, scores, self._targets, self._metric, self._splits)

    @property
    def _splits(self) -> npt.NDArray[np.int64]:
        """Splits of the validation rows for cross-fitting; rows of a group stay together."""
        groups = None if self._data.groups is None else self._data.groups[self._data.valid_rows]
        return make_splits(self._task.strata(self._targets), groups)

    @property
    def _targets(self) -> npt.NDArray[Any]:
        return self._data.targets[self._data.valid_rows]
