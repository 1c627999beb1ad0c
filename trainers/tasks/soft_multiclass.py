"""One of C classes an image, of which the table gives probabilities: soft targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.data.label_columns import label_notes, sort_labels
from foldtune.trainers.data.target_forms.weights import LabelWeights, holds_weights
from foldtune.trainers.metrics.soft import cross_entropy, likeliest
from foldtune.trainers.tasks.base import Predictions, Scores, Targets
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import check_size
from foldtune.wording import first_few

_EXPECTED = "expected_counts"
_ROUNDING = 0.01
"""Difference of a row's sum of probabilities from 1 that rounding explains."""


@dataclass(frozen=True)
class SoftMulticlass(Multiclass):
    """`Multiclass` whose targets are probabilities (N, C) float32, a row's sum 1.

    Losses and the metric ``loss`` take them, and the class counts are their sums. Folds, all other metrics,
    post-processing and samplers take the likeliest class.
    """

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, target: str | Sequence[str], **options: Any) -> Self:
        if options or not isinstance(target, str):
            raise TypeError(f"{cls.name} takes one target column and no options, not {target!r}, {options}")
        weights = LabelWeights.of(frame, target, "the table")
        names = sort_labels(weights.labels)
        if len(names) < 2:
            given = f"weights of the label '{names[0]}' alone" if names else "no weights"
            raise DataError([f"column '{target}' has {given}; {cls.name} needs at least two classes"])
        check_size(target, len(frame), len(names), weights.rows)
        task = cls(target, names, ())
        return task.for_training(task.encode(frame))

    def encode(self, frame: pd.DataFrame, source: Path | str = "the table") -> Targets:
        """Probabilities (N, C) of a column of weights, or of one of labels, which are certain."""
        if not holds_weights(frame, self.target):
            return np.eye(self.head_size, dtype=np.float32)[super().encode(frame, source)]
        weights = LabelWeights.of(frame, self.target, source).matrix(self.labels, source)
        where = f"{source}: column '{self.target}'"
        if len(unknown := np.flatnonzero(np.isnan(weights).any(axis=1))):
            rows = f"{len(unknown)} of {len(frame)} rows (data rows {first_few(unknown + 1)})"
            raise DataError([f"{where} has a label without a weight in {rows}; {self.name} needs all of a row's"])
        sums = weights.sum(axis=1, keepdims=True)
        if len(empty := np.flatnonzero(sums == 0)):
            rows = f"{len(empty)} of {len(frame)} rows (data rows {first_few(empty + 1)})"
            raise DataError([f"{where} has no label of a weight over 0 in {rows}; fill them or drop the rows"])
        return np.asarray(weights / sums, dtype=np.float32)

    def label_notes(self, frame: pd.DataFrame) -> tuple[str, ...]:
        if not holds_weights(frame, self.target):
            return super().label_notes(frame)
        what = f"column '{self.target}'"
        read = LabelWeights.of(frame, self.target, "the table")
        weights = read.matrix(self.labels, "the table")
        spelled = label_notes(self.target, read.labels)
        notes = [
            *spelled,
            f"{what} holds weights: losses take them as soft targets, folds and metrics the likeliest label",
        ]
        sums = weights.sum(axis=1)
        if odd := int((np.abs(sums - 1.0) > _ROUNDING).sum()):
            notes.append(f"{what}: the weights of {odd} rows do not sum to 1; they are divided by their sum")
        ties = ((weights == weights.max(axis=1, keepdims=True)).sum(axis=1) > 1) & (sums > 0)
        if ties.any():
            notes.append(f"{what}: {int(ties.sum())} rows have several likeliest labels; the first of them is taken")
        return tuple(notes)

    def as_predictions(self, targets: Targets) -> Predictions:
        return likeliest(targets)

    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        return likeliest(targets)

    def sampling_classes(self, targets: Targets) -> npt.NDArray[np.int64]:
        return likeliest(targets)

    def class_counts(self, targets: Targets) -> npt.NDArray[Any]:
        """(C,) expected rows of each class, of hard targets (N,) their rows."""
        if targets.ndim == 1:
            return super().class_counts(targets)
        return np.asarray(targets.sum(axis=0, dtype=np.float64))

    def support(self, targets: Targets) -> dict[str, int]:
        return super().support(likeliest(targets))

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        values = super().evaluate(scores, predictions, likeliest(targets))
        return values if targets.ndim == 1 else {**values, "loss": cross_entropy(scores, targets)}

    def per_class(self, predictions: Predictions, targets: Targets) -> list[dict[str, Any]]:
        return super().per_class(predictions, likeliest(targets))

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """Offsets for the likeliest classes."""
        return super().fit_postprocess(scores, likeliest(targets), metric)

    def to_dict(self) -> dict[str, Any]:
        values = super().to_dict()
        return {**values, "counts": [round(count) for count in self.counts], "soft": True, _EXPECTED: list(self.counts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        plain = Multiclass.from_dict(values)
        return cls(plain.target, plain.labels, tuple(map(float, values.get(_EXPECTED) or plain.counts)))
