"""What all tasks have in common whose classes are the labels of a table's column."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import DataError, Problem
from foldtune.trainers.arrays.voting import hard_vote_on
from foldtune.trainers.components import value_problems
from foldtune.trainers.data.label_columns import encode_labels, label_column, label_notes
from foldtune.trainers.metrics.classification import IntArray, confusion_counts, precision_recall_f1
from foldtune.trainers.postprocess.fold_alignment import align_positive_rates
from foldtune.trainers.tasks.base import Ids, Postprocess, Predictions, Scores, Targets, Task
from foldtune.wording import unknown


@dataclass(frozen=True)
class Labelled(Task):
    """A task of labels; the defaults are those of one label a row.

    Attributes:
        target: the column of labels.
        labels: names of the classes, in the order of the head's outputs.
    """

    target: str
    labels: tuple[str, ...]

    @property
    def label_names(self) -> tuple[str, ...]:
        return self.labels

    @property
    def head_size(self) -> int:
        return len(self.labels)

    def encode(self, frame: pd.DataFrame, source: Path | str = "the table") -> Targets:
        return encode_labels(label_column(frame, self.target, source), self.labels, self.target, source)

    def label_notes(self, frame: pd.DataFrame) -> tuple[str, ...]:
        return label_notes(self.target, label_column(frame, self.target, "the table"))

    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        return self.as_predictions(targets)

    def sampling_classes(self, targets: Targets) -> npt.NDArray[np.int64]:
        return self.as_predictions(targets)

    def check_postprocess(self, postprocess: Postprocess) -> list[Problem]:
        problems: list[Problem] = []
        for name, value in postprocess.items():
            path = f"postprocess.{name}"
            if name in self.postprocess_names:
                problems += self._value_problems(path, name, value)
            else:
                problems.append(Problem(path, unknown("post-processing", str(name), self.postprocess_names)))
        return problems

    @abstractmethod
    def _value_problems(self, path: str, name: str, value: Any) -> list[Problem]:
        """Problems of the value at one of `postprocess_names`."""

    def _problems_by_label(self, path: str, values: object, bounds: Mapping[str, Any], noun: str) -> list[Problem]:
        if not isinstance(values, Mapping):
            return [Problem(path, f"must map labels to {noun}, not {values!r}")]
        problems = []
        for label, value in values.items():
            if str(label) not in self.labels:
                problems.append(Problem(f"{path}.{label}", unknown("label", str(label), self.labels)))
            problems += value_problems(f"{path}.{label}", value, float, bounds)
        return problems

    def _counts(self, targets: Targets, predictions: Predictions) -> tuple[IntArray, IntArray, IntArray]:
        """True positives, predicted rows and actual rows of each class."""
        return confusion_counts(targets, predictions, len(self.labels))

    def per_class(self, predictions: Predictions, targets: Targets) -> list[dict[str, Any]]:
        counts = self._counts(self.as_predictions(targets), predictions)
        figures = (*(values.tolist() for values in precision_recall_f1(*counts)), counts[2].tolist())
        names = ("label", "precision", "recall", "f1", "support")
        return [dict(zip(names, row, strict=True)) for row in zip(self.labels, *figures, strict=True)]

    def submission_frame(
        self,
        ids: Ids | Sequence[str],
        predictions: Predictions,
        columns: Sequence[str],
        *,
        scores: Scores | None = None,
        image_sizes: npt.NDArray[np.int64] | None = None,
    ) -> pd.DataFrame:
        """Labels in one column, or probabilities in columns that are named after the labels."""
        id_column, *wanted = columns
        if self._names_labels(wanted):
            by_label = self._by_label(self._certain(predictions) if scores is None else scores)
            filled = {name: by_label[name] for name in wanted}
        elif len(wanted) == 1:
            filled = {wanted[0]: self._named(predictions)}
        else:
            forms = f"an id and a label column, or an id column and one a label ({', '.join(self.labels)})"
            raise DataError([f"columns {', '.join(columns)}: {self.name} fills {forms}"])
        return pd.DataFrame({id_column: list(ids), **filled})

    def _names_labels(self, columns: Sequence[str]) -> bool:
        """Whether the columns of a submission behind the ids are named after the labels."""
        return sorted(columns) == sorted(self.labels)

    @abstractmethod
    def _named(self, predictions: Predictions) -> npt.NDArray[np.object_]:
        """Predictions (N,) as texts."""

    @abstractmethod
    def _by_label(self, scores: Scores) -> dict[str, npt.NDArray[Any]]:
        """The scores (N,) of each label."""

    @abstractmethod
    def _certain(self, predictions: Predictions) -> Scores:
        """Scores of 0 and 1 that stand for the predictions."""

    @abstractmethod
    def _certainty(self, scores: Scores, predictions: Predictions) -> npt.NDArray[Any]:
        """The score (N,) of each prediction."""

    def prediction_frame(
        self, scores: Scores, predictions: Predictions, *, image_sizes: npt.NDArray[np.int64] | None = None
    ) -> pd.DataFrame:
        columns = {f"score_{label}": values for label, values in self._by_label(scores).items() if label in self.labels}
        own = {"label": self._named(predictions), "score": self._certainty(scores, predictions)}
        return pd.DataFrame({**own, **columns})

    def to_dict(self) -> dict[str, Any]:
        given = {each.name: getattr(self, each.name) for each in fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        return {"task": self.name, **{name: value for name, value in plain.items() if value is not None}}

    @classmethod
    def _require(cls, values: Mapping[str, Any], *names: str) -> None:
        if missing := [name for name in names if name not in values]:
            raise DataError([f"not a task of kind {cls.name}: no {', '.join(missing)}"])


def best_of(candidates: Iterable[dict[str, Any]], worth: Callable[[Postprocess], float], gain: float) -> dict[str, Any]:
    """Return the post-processing with the highest worth, of those that differ by at most `gain` the first."""
    best, value = {}, -np.inf
    for place, candidate in enumerate(candidates):
        found = worth(candidate)
        if place == 0 or found > value + gain:
            best, value = candidate, found
    return best


class ThresholdTask(Labelled):
    """A task whose labels are on where their score reaches a threshold."""

    def fold_offsets(self, fold_logits: Iterable[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        return align_positive_rates(list(fold_logits))

    def hard_vote(
        self, member_predictions: Sequence[Predictions], mean: Scores, soft: Predictions, min_votes: int | None
    ) -> Predictions:
        return hard_vote_on(member_predictions, soft, min_votes)
