"""Any number of L labels an image, none included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from foldtune.errors import DataError, Problem
from foldtune.trainers.data.folds import rarest_label
from foldtune.trainers.data.label_columns import (
    check_names,
    check_several,
    encode_labels,
    label_notes,
    label_sets,
    sort_labels,
    without_label,
)
from foldtune.trainers.data.target_forms.list_text import ListForm, list_text
from foldtune.trainers.losses import BINARY_LIKE, losses_for
from foldtune.trainers.metrics.classification import IntArray
from foldtune.trainers.metrics.multilabel import (
    PREDICTION_METRICS,
    binary_log_loss,
    label_counts,
    mean_auroc,
    mean_average_precision,
    top_k_hits,
)
from foldtune.trainers.postprocess.thresholds import (
    DEFAULT_THRESHOLD,
    THRESHOLD_BOUNDS,
    apply_thresholds,
    common_and_label_thresholds,
    threshold_problems,
)
from foldtune.trainers.tasks.base import Mode, Postprocess, Predictions, Scores, Targets
from foldtune.trainers.tasks.labelled import ThresholdTask, best_of
from foldtune.wording import close_matches, shortened, unknown

_MAX_TARGETS_BYTES = 4 << 30
"""Memory of the targets."""


@dataclass(frozen=True)
class Multilabel(ThresholdTask):
    """Each of L labels is on or off: on where its score reaches its own of ``thresholds``, or else ``threshold``.

    Attributes:
        label_separator: between the labels of one cell.
        none_label: label of an image without any other, such as "No Finding"; it is no class.
        list_form: notation of the lists that the cells are; None where they are labels with a separator.
    """

    name: ClassVar[str] = "multilabel"
    metrics: ClassVar[Mapping[str, Mode]] = MappingProxyType(
        {
            "macro_f1": "max",
            "micro_f1": "max",
            "samples_f1": "max",
            "accuracy": "max",  # rows with all labels right
            "map": "max",  # of the scores: average precision, mean of the labels that occur
            "auroc": "max",  # of the scores, mean of the labels that occur
            "top5_accuracy": "max",  # of the scores: rows with a label among the five highest
            "loss": "min",  # of the scores: mean over rows and labels
        }
    )
    default_metric: ClassVar[str] = "macro_f1"
    tunable_metrics: ClassVar[frozenset[str]] = frozenset(PREDICTION_METRICS)
    losses: ClassVar[tuple[str, ...]] = losses_for(BINARY_LIKE)
    postprocess_names: ClassVar[tuple[str, ...]] = ("threshold", "thresholds")
    option_names: ClassVar[tuple[str, ...]] = ("label_separator", "none_label")

    label_separator: str = "|"
    none_label: str | None = field(default=None, kw_only=True)
    list_form: ListForm | None = field(default=None, kw_only=True)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, target: str | Sequence[str], **options: Any) -> Self:
        """The task of the labels between ``label_separator`` (by default ``|``); an empty cell has none."""
        if options.keys() - {*cls.option_names, "list_form"} or not isinstance(target, str):
            valid = f"one target column and the option {' or '.join(cls.option_names)}"
            raise TypeError(f"multilabel takes {valid}, not {target!r}, {options}")
        separator = options.get("label_separator") or cls.label_separator
        none_label = options.get("none_label")
        flat, rows = without_label(*label_sets(frame, target, separator, "the table"), none_label)
        names = sort_labels(flat)
        if not names:
            raise DataError([f"column '{target}' has no label in {len(frame)} rows"])
        check_names(names, target)
        check_several(names, target, int(np.bincount(rows, minlength=1).max()))
        if len(np.unique(rows)) == len(rows) and (other := _more_plausible_separator(names, separator)):
            given = f"column '{target}' has no '{separator}' in it, but labels like '{other[1]}'"
            raise DataError([f"{given}; is data.label_separator '{other[0]}'?"])
        if none_label is not None and (near := close_matches(none_label, names, cutoff=0.8)):
            absent = f"column '{target}' has no label {shortened(repr(none_label))} (data.none_label)"
            raise DataError([f"{absent}; did you mean {shortened(repr(near[0]))}?"])
        check_size(target, len(frame), len(names), rows)
        return cls(target, names, separator, none_label=none_label, list_form=options.get("list_form"))

    def encode(self, frame: pd.DataFrame, source: Path | str = "the table") -> Targets:
        flat, rows = without_label(*label_sets(frame, self.target, self.label_separator, source), self.none_label)
        targets = np.zeros((len(frame), len(self.labels)), dtype=np.int64)
        targets[rows, encode_labels(flat, self.labels, self.target, source, rows)] = 1
        return targets

    def label_notes(self, frame: pd.DataFrame) -> tuple[str, ...]:
        every, of_row = label_sets(frame, self.target, self.label_separator, "the table")
        flat, rows = without_label(every, of_row, self.none_label)
        alone = len(set(of_row.tolist())) - len(set(rows.tolist()))
        both = len(every) - len(flat) - alone
        notes = label_notes(self.target, flat)
        if not both:
            return notes
        beside = f"column '{self.target}': {both} rows have {shortened(repr(self.none_label))} beside other labels"
        return (*notes, f"{beside}, which hold")

    @property
    def has_single_score(self) -> bool:
        return len(self.labels) == 1

    def sampling_classes(self, targets: Targets) -> npt.NDArray[np.int64]:
        return rarest_label(self.as_predictions(targets))

    def class_counts(self, targets: Targets) -> npt.NDArray[np.int64]:
        positives = targets.sum(axis=0)
        return np.stack([len(targets) - positives, positives], axis=1)

    def collate(self, targets: Targets, image_size: tuple[int, int]) -> Any:
        return super().collate(targets.astype(np.float32), image_size)

    def scores(self, logits: npt.NDArray[Any]) -> Scores:
        return np.asarray(expit(np.asarray(logits, dtype=np.float64)))

    def default_postprocess(self) -> dict[str, Any]:
        return {"threshold": DEFAULT_THRESHOLD, "thresholds": {}}

    def _value_problems(self, path: str, name: str, value: Any) -> list[Problem]:
        if name == "threshold":
            return threshold_problems(path, value)
        return self._problems_by_label(path, value, THRESHOLD_BOUNDS, "thresholds")

    def predict(self, scores: Scores, postprocess: Postprocess | None = None) -> Predictions:
        postprocess = postprocess or {}
        common = float(postprocess.get("threshold", DEFAULT_THRESHOLD))
        own = {str(label): float(value) for label, value in postprocess.get("thresholds", {}).items()}
        return apply_thresholds(scores, [own.get(label, common) for label in self.labels])

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        values = {name: metric(targets, predictions) for name, metric in PREDICTION_METRICS.items()}
        values["map"] = mean_average_precision(scores, targets)
        values["auroc"] = mean_auroc(scores, targets)
        values["top5_accuracy"] = top_k_hits(scores, targets, 5)
        values["loss"] = binary_log_loss(scores, targets)
        return {name: values[name] for name in type(self).metrics}

    def metric_value(self, metric: str, scores: Scores, predictions: Predictions, targets: Targets) -> float:
        if metric in PREDICTION_METRICS:
            return PREDICTION_METRICS[metric](targets, predictions)
        return super().metric_value(metric, scores, predictions, targets)

    def _counts(self, targets: Targets, predictions: Predictions) -> tuple[IntArray, IntArray, IntArray]:
        return label_counts(targets, predictions)

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """macro_f1, micro_f1: a threshold a label, shrunk to the common one; samples_f1, accuracy: the common one."""
        self.mode(metric)  # raises for an unknown metric
        best = self.default_postprocess()
        if metric not in self.tunable_metrics:
            return best
        common, own = common_and_label_thresholds(scores, targets, metric)
        candidates = [best, self.with_thresholds(common)]
        if own is not None:
            candidates.append(self.with_thresholds(common, own))
        return best_of(candidates, lambda each: PREDICTION_METRICS[metric](targets, self.predict(scores, each)), 0.0)

    def with_thresholds(self, common: float, own: npt.ArrayLike | None = None) -> dict[str, Any]:
        """The post-processing of a common threshold and, where they are given, one a label (L,)."""
        values = [] if own is None else np.asarray(own).tolist()
        return {"threshold": common, "thresholds": dict(zip(self.labels, values, strict=False))}

    def _names_labels(self, columns: Sequence[str]) -> bool:
        own = [name for name in columns if name != self.none_label]
        return columns != [self.target] and super()._names_labels(own)

    def _named(self, predictions: Predictions) -> npt.NDArray[np.object_]:
        """Labels joined by the separator or as a list; `none_label` or "" for none."""
        names = np.asarray(self.labels, dtype=object)
        joined = np.empty(len(predictions), dtype=object)
        none = [] if self.none_label is None else [self.none_label]
        rows = [list(names[row]) or none for row in predictions.astype(bool)]
        form, separator = self.list_form, self.label_separator
        joined[:] = [separator.join(row) if form is None else list_text(row, form) for row in rows]
        return joined

    def _by_label(self, scores: Scores) -> dict[str, npt.NDArray[Any]]:
        """The score of `none_label` is 1 less the highest."""
        none = {} if self.none_label is None else {self.none_label: 1 - scores.max(axis=1)}
        return {**none, **dict(zip(self.labels, scores.T, strict=True))}

    def _certain(self, predictions: Predictions) -> Scores:
        return predictions

    def _certainty(self, scores: Scores, predictions: Predictions) -> npt.NDArray[Any]:
        """The score of the least certain label of the row, or 1 less the highest where it has none."""
        least = np.where(predictions == 1, scores, np.inf).min(axis=1)
        return np.asarray(np.where(predictions.any(axis=1), least, 1.0 - scores.max(axis=1)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        cls._require(values, "target", "labels", "label_separator")
        labels = tuple(map(str, values["labels"]))
        none, form = values.get("none_label"), values.get("list_form")
        if form not in (None, *get_args(ListForm)):
            raise DataError([unknown("list_form", form, get_args(ListForm))])
        none = None if none is None else str(none)
        return cls(str(values["target"]), labels, str(values["label_separator"]), none_label=none, list_form=form)


def check_size(target: str, rows: int, labels: int, row_of_label: npt.NDArray[np.int64]) -> None:
    """Refuse a slip of one cell that makes thousands of labels, before there is a column for each."""
    if rows * labels * 8 <= _MAX_TARGETS_BYTES:
        return
    counts = np.bincount(row_of_label, minlength=1)
    raise DataError(
        [
            f"column '{target}': {labels:,} labels in {rows:,} rows take more than {_MAX_TARGETS_BYTES >> 30} GB; "
            f"data row {int(counts.argmax()) + 1} has {int(counts.max()):,} of them"
        ]
    )


def _more_plausible_separator(names: Sequence[str], separator: str) -> tuple[str, str] | None:
    """Another separator by which the labels found are joins of fewer ones, and one such label."""
    for other in (",", ";", "|", "/"):
        joined = [name for name in names if other in name]
        parts = {part.strip() for name in names for part in name.split(other)} - {""}
        if other != separator and joined and len(parts) < len(names):
            return other, joined[0]
    return None
