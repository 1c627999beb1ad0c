"""Any number of labels an image, of which the table gives weights: soft targets, and cells that are unknown."""

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
from foldtune.trainers.data.splits import rarest_label
from foldtune.trainers.data.target_forms.weights import LabelWeights, holds_weights
from foldtune.trainers.deferred import torch
from foldtune.trainers.metrics.multilabel import PREDICTION_METRICS
from foldtune.trainers.metrics.soft import SCORE_METRICS, SoftLabels
from foldtune.trainers.tasks.base import Predictions, Scores, Targets
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

    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        return self._soft(targets).labels

    def sampling_classes(self, targets: Targets) -> npt.NDArray[np.int64]:
        return rarest_label(self._soft(targets).labels)

    def class_counts(self, targets: Targets) -> npt.NDArray[Any]:
        """(L, 2) expected rows without and with each label, of those where it is known."""
        found = self._soft(targets)
        positives = found.weights.sum(axis=0)
        return np.stack([found.known.sum(axis=0) - positives, positives], axis=1)

    def support(self, targets: Targets) -> dict[str, int]:
        return super().support(self._soft(targets).labels)

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
