"""The protocol of a task, behind which all kinds of problem stand.

The training loop, the tuner, the leaderboard and the ensembler use `Task` alone. They pass its arrays on
without reading them; `foldtune.trainers.arrays.types` lists their contents, task by task.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from foldtune.errors import Problem, SettingsError
from foldtune.trainers.arrays.types import Annotation, Ids, Mode, Postprocess, Predictions, Scores, Targets
from foldtune.trainers.data.readers import READERS, Reader, ReadOptions, Source, read_source
from foldtune.trainers.tasks.parts import Trains, Votes
from foldtune.wording import unknown

if TYPE_CHECKING:
    import pandas as pd


__all__ = ["Annotation", "Ids", "Mode", "Postprocess", "Predictions", "Scores", "Targets", "Task"]


class Task(Trains, Votes):
    """Everything that differs between kinds of problem. Subclasses are frozen dataclasses of plain values."""

    name: ClassVar[str]
    """The name in a YAML file and in the registry."""
    metrics: ClassVar[Mapping[str, Mode]]
    """Keys of `evaluate`, in the order of the table -> direction that is better; ``"loss": "min"`` too."""
    default_metric: ClassVar[str]
    tunable_metrics: ClassVar[frozenset[str]]
    """Metrics that post-processing can change: those of predictions, not of scores (auroc, loss)."""
    losses: ClassVar[tuple[str, ...]]
    """Explicit names of the losses for its form of targets; the first is the default."""
    postprocess_names: ClassVar[tuple[str, ...]]
    """Keys of a post-processing mapping."""
    exclusive_classes: ClassVar[bool] = False
    """Whether a row has one class alone, so that its scores (N, K) add up to 1."""
    option_names: ClassVar[tuple[str, ...]] = ()
    """Keyword options of `from_frame`, which are keys of `data` in a YAML file."""
    readers: ClassVar[tuple[Reader, ...]] = READERS
    """Forms in which its rows are read, the first that matches a file or folder."""

    @classmethod
    def read_source(cls, path: Path, options: ReadOptions | None = None) -> Source:
        """Read rows in any of its forms: every cell a string, only an empty cell is missing ("NA" may be a class).

        Raises:
            DataError: the file or folder is absent, empty, or of none of the forms.
        """
        return read_source(path, options, cls.readers)

    @classmethod
    def read_frame(cls, path: Path) -> pd.DataFrame:
        """Return the frame of `read_source`. Raises DataError."""
        return cls.read_source(path).frame

    @classmethod
    @abstractmethod
    def from_frame(cls, frame: pd.DataFrame, target: str | Sequence[str], **options: Any) -> Self:
        """The task of a labelled table: classes, their order, their counts.

        Raises:
            DataError: an absent column, rows without a label, a single class.
        """

    @abstractmethod
    def encode(self, frame: pd.DataFrame, source: Path | str = "the table") -> Targets:
        """Targets (N, ...) of a labelled table.

        Raises:
            DataError: missing labels, unknown ones (with the nearest known one), boxes outside of the image.
        """

    def label_notes(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """Lines on labels of a table that are spelled in several ways, or that look like several labels."""
        return ()

    @property
    def has_single_score(self) -> bool:
        """Whether one number a row is its score, so that one column of a submission can hold the scores."""
        return False

    @property
    @abstractmethod
    def label_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of the head's outputs. Text detection: ("text",)."""

    @property
    def trained_names(self) -> tuple[str, ...]:
        """Names of the classes of `encode`, which are those of `label_names` unless coarser ones are judged."""
        return self.label_names

    @abstractmethod
    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        """(N,) strata by which folds are balanced, or (N, L) 0/1 for iterative stratification."""

    @abstractmethod
    def sampling_classes(self, targets: Targets) -> npt.NDArray[np.int64]:
        """(N,) int64, one class a row, from 0, for a balanced sampler; of several labels the rarest."""

    def for_training(self, train_targets: Targets) -> Self:
        """The same task with its counts of labels taken from these rows alone.

        So labels by which a training is evaluated have no influence on its predictions. Multiclass: the prior.
        """
        return self

    def as_predictions(self, targets: Targets) -> Predictions:
        """Predictions (N, ...) that agree with the targets; of soft targets those of their hard labels."""
        return targets

    @property
    def label_warnings(self) -> tuple[str, ...]:
        """What was left out of the labels or repaired in them, a line each."""
        return ()

    def support(self, targets: Targets) -> dict[str, int]:
        """Class -> number of its rows (text detection: of boxes), for warnings of too few."""
        counts = np.asarray(self.class_counts(self.as_predictions(targets)))
        positives = counts if counts.ndim == 1 else counts[:, -1]
        return dict(zip(self.label_names, (int(count) for count in positives), strict=True))

    @abstractmethod
    def scores(self, logits: npt.NDArray[Any]) -> Scores:
        """Scores of quantized or float32 logits: softmax, sigmoid, or a probability map; finite for finite logits."""

    @abstractmethod
    def default_postprocess(self) -> dict[str, Any]:
        """The neutral post-processing (argmax, threshold .5, rounding), with every key."""

    @abstractmethod
    def check_postprocess(self, postprocess: Postprocess) -> list[Problem]:
        """All problems of a mapping; paths begin with ``postprocess``. Keys may be left out."""

    @abstractmethod
    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        """Every metric of `metrics`, in that order, over all N >= 1 rows pooled; finite, no warnings.

        It runs at each epoch, so it must cost milliseconds (text detection: each image is matched once).
        """

    def evaluate_each(
        self, scores: Scores, postprocesses: Sequence[Postprocess], targets: Targets
    ) -> Iterator[dict[str, float]]:
        """`evaluate` of the predictions with each post-processing, in their order."""
        for each in postprocesses:
            yield self.evaluate(scores, self.predict(scores, each), targets)

    def metric_value(self, metric: str, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        """One metric of `evaluate` alone, for frequent calls such as a bootstrap's."""
        return self.evaluate(scores, predictions, targets)[metric]

    @abstractmethod
    def per_class(self, predictions: Predictions, targets: Targets) -> list[dict[str, Any]]:
        """One JSON-able row a class: label, precision, recall, f1 (0 where undefined), support."""

    @abstractmethod
    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """The best post-processing by ``metric`` on these rows, shrunk where they are few; JSON-able.

        Never worse on these rows than the default, which is returned for a metric that is not tunable. The
        figure on the fitted rows is optimistic: report ``cross_fitted_score`` of trainers.tasks.crossfit.

        Raises:
            SettingsError: a metric that this task does not have.
        """

    @abstractmethod
    def submission_frame(
        self,
        ids: Ids | Sequence[str],
        predictions: Predictions,
        columns: Sequence[str],
        *,
        scores: Scores | None = None,
        image_sizes: npt.NDArray[np.int64] | None = None,
    ) -> pd.DataFrame:
        """The rows of a submission, in the order of ``ids``, in ``columns`` (the first holds the ids).

        Args:
            scores: (N, ...) scores, for a form with one column of probabilities a class.
            image_sizes: (N, 2) heights and widths of the original pictures in pixels, for spatial predictions.

        Raises:
            DataError: columns that this task cannot fill.
        """

    @abstractmethod
    def prediction_frame(
        self, scores: Scores, predictions: Predictions, *, image_sizes: npt.NDArray[np.int64] | None = None
    ) -> pd.DataFrame:
        """Predictions (N,) as a table for people: columns label, score and, for each class, score_<class>."""

    def annotations(self, predictions: npt.NDArray[Any], target: npt.NDArray[Any] | None = None) -> list[Annotation]:
        """Drawable annotations of one image: of its prediction and, where it is labelled, of its target."""
        return []

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """JSON-able, with ``{"task": name, ...}``; `foldtune.trainers.tasks.task_from_dict` reads it back."""

    @classmethod
    @abstractmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The task equal to the one that `to_dict` wrote."""

    def mode(self, metric: str) -> Mode:
        """Direction in which ``metric`` is better; SettingsError for a metric that this task does not have."""
        if metric not in self.metrics:
            message = unknown("metric", metric, self.metrics) + f" (task {self.name})"
            raise SettingsError([Problem("metric", message)])
        return self.metrics[metric]
