"""Tasks whose table gives weights of labels: soft targets, and cells that are unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.data.label_columns import label_notes, sort_labels, without_label
from foldtune.trainers.data.target_forms.weights import LabelWeights, holds_weights
from foldtune.trainers.deferred import torch
from foldtune.trainers.metrics.multilabel import PREDICTION_METRICS, SCORE_METRICS, SoftLabels, cross_entropy, likeliest
from foldtune.trainers.tasks.base import Predictions, Scores, Targets
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel, check_size
from foldtune.wording import first_few, shortened

SOFT_THRESHOLD = 0.5


@dataclass(frozen=True)
class SoftMultilabel(Multilabel):
    """`Multilabel` whose targets are weights (N, L) float32 in [0, 1], NaN where it is unknown if a label is there.

    Losses and the metric ``loss`` take the weights, and the class counts are their sums. Folds, all other metrics,
    thresholds and samplers take the labels whose weight reaches ``soft_threshold``. Unknown cells count in nothing.
    """

    option_names: ClassVar[tuple[str, ...]] = ("label_separator", "soft_threshold", "none_label")

    soft_threshold: float = SOFT_THRESHOLD

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, target: str | Sequence[str], **options: Any) -> Self:
        """The task of all labels that a row gives a weight, be it 0 or unknown."""
        if options.keys() - set(cls.option_names) or not isinstance(target, str):
            valid = f"one target column and the options {', '.join(cls.option_names)}"
            raise TypeError(f"multilabel takes {valid}, not {target!r}, {options}")
        weights, none_label = LabelWeights.of(frame, target, "the table"), options.get("none_label")
        names = sort_labels(without_label(weights.labels, weights.rows, none_label)[0])
        if not names:
            raise DataError([f"column '{target}' has no label in {len(frame)} rows"])
        check_size(target, len(frame), len(names), weights.rows)
        separator = options.get("label_separator") or cls.label_separator
        threshold = float(options.get("soft_threshold", SOFT_THRESHOLD))
        return cls(target, names, separator, threshold, none_label=none_label)

    def encode(self, frame: pd.DataFrame, source: Path | str = "the table") -> Targets:
        """Weights (N, L) of a column of weights, or of one of label lists, which are certain."""
        if not holds_weights(frame, self.target):
            return super().encode(frame, source).astype(np.float32)
        weights = LabelWeights.of(frame, self.target, source)
        if self.none_label is not None:
            weights = weights.without(self.none_label)
        return np.asarray(weights.matrix(self.labels, source), dtype=np.float32)

    def label_notes(self, frame: pd.DataFrame) -> tuple[str, ...]:
        if not holds_weights(frame, self.target):
            return super().label_notes(frame)
        what = f"column '{self.target}'"
        found = self._soft(self.encode(frame))
        notes = [*label_notes(self.target, LabelWeights.of(frame, self.target, "the table").labels)]
        if ((found.weights > 0) & (found.weights < 1)).any():
            hard = f"folds and metrics the labels of a weight of at least {self.soft_threshold:g} (data.soft_threshold)"
            notes.append(f"{what} holds weights: losses take them as soft targets, {hard}")
            below = [name for name, rows in zip(self.labels, found.labels.sum(axis=0), strict=True) if rows == 0]
            if below:
                notes.append(f"{what}: no row reaches that weight of {first_few([*map(shortened, below)])}")
        if hidden := int((~found.known).sum()):
            where = "they are left out of loss, counts, metrics and thresholds"
            notes.append(f"{what}: {hidden:,} of {found.known.size:,} cells are unknown; {where}")
        return tuple(notes)

    def _soft(self, targets: Targets) -> SoftLabels:
        return SoftLabels.of(targets, self.soft_threshold)

    def as_predictions(self, targets: Targets) -> Predictions:
        return self._soft(targets).labels

    def class_counts(self, targets: Targets) -> npt.NDArray[Any]:
        """(L, 2) expected rows without and with each label, of those where it is known."""
        found = self._soft(targets)
        positives = found.weights.sum(axis=0)
        return np.stack([found.known.sum(axis=0) - positives, positives], axis=1)

    def collate(self, targets: Targets, image_size: tuple[int, int]) -> Any:
        """Labels and, beside them, 1 where they are known: (B, L) float32 each."""
        known = ~np.isnan(targets)
        parts = {"labels": np.where(known, targets, 0.0), "known": known}
        return {name: torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32)) for name, part in parts.items()}

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        found = self._soft(targets)
        values = {name: found.prediction_metric(name, predictions) for name in PREDICTION_METRICS}
        values |= {name: found.score_metric(name, scores) for name in SCORE_METRICS}
        return {name: values[name] for name in self.metrics}

    def metric_value(self, metric: str, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        found = self._soft(targets)
        if metric in PREDICTION_METRICS:
            return found.prediction_metric(metric, predictions)
        return found.score_metric(metric, scores)

    def per_class(self, predictions: Predictions, targets: Targets) -> list[dict[str, Any]]:
        found = self._soft(targets)
        return super().per_class(found.masked(predictions), found.labels)

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """As of hard labels: an unknown cell has no label, and with a score of 0 it never gets one."""
        found = self._soft(targets)
        rows = found.judged_rows
        return super().fit_postprocess(found.masked(scores)[rows], found.labels[rows], metric)

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "soft": True}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        plain = Multilabel.from_dict(values)
        threshold = float(values.get("soft_threshold", SOFT_THRESHOLD))
        return cls(plain.target, plain.labels, plain.label_separator, threshold, none_label=plain.none_label)


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

    def class_counts(self, targets: Targets) -> npt.NDArray[Any]:
        """(C,) expected rows of each class, of hard targets (N,) their rows."""
        if targets.ndim == 1:
            return super().class_counts(targets)
        return np.asarray(targets.sum(axis=0, dtype=np.float64))

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        values = super().evaluate(scores, predictions, likeliest(targets))
        return values if targets.ndim == 1 else {**values, "loss": cross_entropy(scores, targets)}

    def to_dict(self) -> dict[str, Any]:
        values = super().to_dict()
        return {**values, "counts": [round(count) for count in self.counts], "soft": True, _EXPECTED: list(self.counts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        plain = Multiclass.from_dict(values)
        return cls(plain.target, plain.labels, tuple(map(float, values.get(_EXPECTED) or plain.counts)))
