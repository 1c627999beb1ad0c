"""One of C classes an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax

from foldtune.errors import DataError, Problem
from foldtune.trainers.arrays.voting import hard_vote
from foldtune.trainers.components import check_value, number
from foldtune.trainers.data.label_columns import (
    check_names,
    encode_labels,
    known_positive,
    label_column,
    label_notes,
    sort_labels,
)
from foldtune.trainers.losses import ONE_CLASS, losses_for
from foldtune.trainers.losses.weights import log_prior
from foldtune.trainers.metrics.classification import (
    COUNT_METRICS,
    auroc_ovr,
    confusion_counts,
    log_loss,
    precision_recall_f1,
    top_k_accuracy,
)
from foldtune.trainers.postprocess.offsets import fit_offsets, log_scores
from foldtune.trainers.tasks.base import Ids, Mode, Postprocess, Predictions, Scores, Targets, Task
from foldtune.wording import unknown

_PRIOR_POWER_BOUNDS: Mapping[str, Any] = number(0.0, 0.0, 5.0).metadata
_OFFSET_BOUNDS: Mapping[str, Any] = number(0.0, -100.0, 100.0).metadata


@dataclass(frozen=True)
class Multiclass(Task):
    """One of C >= 2 classes an image; predicts ``argmax(log p - prior_power * log prior + offsets)``.

    Attributes:
        target: the column of labels.
        labels: names of the classes, in the order of the head's outputs.
        counts: rows of each class, whose shares are the prior: in the labelled table, or in the rows of a training
            (`for_training`).
    """

    name: ClassVar[str] = "multiclass"
    exclusive_classes: ClassVar[bool] = True
    metrics: ClassVar[Mapping[str, Mode]] = MappingProxyType(
        {
            "accuracy": "max",
            "balanced_accuracy": "max",
            "macro_f1": "max",
            "micro_f1": "max",
            "top5_accuracy": "max",  # of the scores; 1 where there are at most five classes
            "auroc": "max",  # of the scores, one against the rest, mean of the classes that occur
            "loss": "min",  # of the scores
        }
    )
    default_metric: ClassVar[str] = "balanced_accuracy"
    tunable_metrics: ClassVar[frozenset[str]] = frozenset(COUNT_METRICS)
    losses: ClassVar[tuple[str, ...]] = losses_for(ONE_CLASS)
    postprocess_names: ClassVar[tuple[str, ...]] = ("prior_power", "offsets")

    target: str
    labels: tuple[str, ...]
    counts: tuple[float, ...]

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, target: str | Sequence[str], **options: Any) -> Self:
        if options or not isinstance(target, str):
            raise TypeError(f"{cls.name} takes one target column and no options, not {target!r}, {options}")
        labels = label_column(frame, target, "the table")
        names = sort_labels(labels)
        check_names(names, target)
        if len(names) < 2:
            given = f"only the label '{names[0]}'" if names else "no rows"
            raise DataError([f"column '{target}' has {given}; {cls.name} needs at least two classes"])
        codes = encode_labels(labels, names, target, "the table")
        return cls(target, names, tuple(int(count) for count in np.bincount(codes)))

    def encode(self, frame: pd.DataFrame, source: Path | str = "the table") -> Targets:
        return encode_labels(label_column(frame, self.target, source), self.labels, self.target, source)

    def label_notes(self, frame: pd.DataFrame) -> tuple[str, ...]:
        return label_notes(self.target, label_column(frame, self.target, "the table"))

    @property
    def has_single_score(self) -> bool:
        return known_positive(self.labels) is not None

    @property
    def label_names(self) -> tuple[str, ...]:
        return self.labels

    @property
    def head_size(self) -> int:
        return len(self.labels)

    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        return targets

    def sampling_classes(self, targets: Targets) -> npt.NDArray[np.int64]:
        return targets

    def class_counts(self, targets: Targets) -> npt.NDArray[np.int64]:
        return np.bincount(targets, minlength=self.head_size)

    def for_training(self, train_targets: Targets) -> Self:
        return replace(self, counts=tuple(self.class_counts(train_targets).tolist()))

    def scores(self, logits: npt.NDArray[Any]) -> Scores:
        return np.asarray(softmax(np.asarray(logits, dtype=np.float64), axis=1))

    def default_postprocess(self) -> dict[str, Any]:
        return {"prior_power": 0.0, "offsets": {}}

    def check_postprocess(self, postprocess: Postprocess) -> list[Problem]:
        problems = []
        for name, value in postprocess.items():
            path = f"postprocess.{name}"
            if name == "prior_power":
                problems += _number_problems(path, value, _PRIOR_POWER_BOUNDS)
            elif name != "offsets":
                problems.append(Problem(path, unknown("post-processing", str(name), self.postprocess_names)))
            elif not isinstance(value, Mapping):
                problems.append(Problem(path, f"must map labels to numbers, not {value!r}"))
            else:
                problems += self._offset_problems(path, value)
        return problems

    def _offset_problems(self, path: str, offsets: Mapping[Any, Any]) -> list[Problem]:
        problems = []
        for label, value in offsets.items():
            if str(label) not in self.labels:
                problems.append(Problem(f"{path}.{label}", unknown("label", str(label), self.labels)))
            problems += _number_problems(f"{path}.{label}", value, _OFFSET_BOUNDS)
        return problems

    def total_offsets(self, postprocess: Postprocess) -> npt.NDArray[np.float64]:
        """Return what is added to the log scores of each class (C,)."""
        given = {str(label): float(value) for label, value in postprocess.get("offsets", {}).items()}
        offsets = np.array([given.get(label, 0.0) for label in self.labels])
        return np.asarray(offsets - float(postprocess.get("prior_power", 0.0)) * log_prior(self.counts))

    def predict(self, scores: Scores, postprocess: Postprocess | None = None) -> Predictions:
        offsets = self.total_offsets(postprocess or {})
        adjusted = log_scores(scores) + offsets if offsets.any() else scores
        return np.asarray(adjusted.argmax(axis=1), dtype=np.int64)  # ties: the lower class

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        counts = confusion_counts(targets, predictions, self.head_size)
        values = {name: metric(*counts) for name, metric in COUNT_METRICS.items()}
        values["top5_accuracy"] = top_k_accuracy(scores, targets, 5)
        values["auroc"] = auroc_ovr(scores, targets)
        values["loss"] = log_loss(scores, targets)
        return {name: values[name] for name in type(self).metrics}

    def per_class(self, predictions: Predictions, targets: Targets) -> list[dict[str, Any]]:
        counts = confusion_counts(targets, predictions, self.head_size)
        table = (
            self.labels,
            *(values.tolist() for values in precision_recall_f1(*counts)),
            counts[2].tolist(),
        )
        names = ("label", "precision", "recall", "f1", "support")
        return [dict(zip(names, row, strict=True)) for row in zip(*table, strict=True)]

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """Offsets alone; the prior that they adjust for is that of these rows, since no others may be counted."""
        self.mode(metric)  # raises for an unknown metric
        if metric not in self.tunable_metrics:
            return self.default_postprocess()
        offsets = fit_offsets(scores, targets, metric, log_prior(self.class_counts(targets)))
        return {"prior_power": 0.0, "offsets": dict(zip(self.labels, offsets.tolist(), strict=True))}

    def hard_vote(
        self, member_predictions: Sequence[Predictions], mean: Scores, soft: Predictions, min_votes: int | None
    ) -> Predictions:
        return hard_vote(member_predictions, mean, min_votes, fallback=soft)

    def submission_frame(
        self,
        ids: Ids | Sequence[str],
        predictions: Predictions,
        columns: Sequence[str],
        *,
        scores: Scores | None = None,
        image_sizes: npt.NDArray[np.int64] | None = None,
        as_scores: bool = False,
    ) -> pd.DataFrame:
        if len(columns) == 2:
            named = np.asarray(self.labels, dtype=object)[predictions]
            if as_scores and scores is not None and (positive := known_positive(self.labels)) is not None:
                named = scores[:, self.labels.index(positive)]
            return pd.DataFrame({columns[0]: list(ids), columns[1]: named})
        if len(columns) == len(self.labels) + 1 and set(columns[1:]) == set(self.labels):
            values = np.eye(self.head_size)[predictions] if scores is None else scores
            frame = pd.DataFrame(values, columns=list(self.labels))
            frame.insert(0, columns[0], list(ids))
            return frame[list(columns)]
        forms = f"an id and a label column, or an id column and one a class ({', '.join(self.labels)})"
        raise DataError([f"columns {', '.join(columns)}: {self.name} fills {forms}"])

    def prediction_frame(
        self, scores: Scores, predictions: Predictions, *, image_sizes: npt.NDArray[np.int64] | None = None
    ) -> pd.DataFrame:
        labels = np.asarray(self.labels, dtype=object)[predictions]
        own = scores[np.arange(len(predictions)), predictions]
        columns = {f"score_{label}": scores[:, c] for c, label in enumerate(self.labels)}
        return pd.DataFrame({"label": labels, "score": own, **columns})

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        return {"task": self.name, **values, "labels": list(self.labels), "counts": list(self.counts)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        missing = [name for name in ("target", "labels", "counts") if name not in values]
        if missing:
            raise DataError([f"not a task of kind {cls.name}: no {', '.join(missing)}"])
        labels, counts = tuple(map(str, values["labels"])), tuple(map(int, values["counts"]))
        return cls(str(values["target"]), labels, counts)


def _number_problems(path: str, value: object, bounds: Mapping[str, Any]) -> list[Problem]:
    try:
        check_value(value, float, bounds)
    except ValueError as error:
        return [Problem(path, str(error))]
    return []
