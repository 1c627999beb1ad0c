"""What a metric of a run's own provides to the task that it joins."""

from __future__ import annotations

from typing import Any, Protocol

from foldtune.trainers.arrays.types import Mode, Predictions, Scores, Targets
from foldtune.trainers.tasks import Task


class UserMetric(Protocol):
    """A metric that belongs to a run, not to its kind of task."""

    @property
    def name(self) -> str:
        """Its name in tables."""

    @property
    def mode(self) -> Mode:
        """Direction that is better."""

    @property
    def of_predictions(self) -> bool:
        """Whether predictions decide it, which post-processing changes; else scores do."""

    @property
    def is_available(self) -> bool:
        """Whether it can be computed here: code of a run may be none that the user trusts."""

    def value(self, task: Task, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        """Its value on N rows. Raises MetricFailed."""

    def fit(self, task: Task, scores: Scores, targets: Targets) -> dict[str, Any]:
        """The best post-processing on N rows, never worse there than the default. Raises MetricFailed."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, without code."""
