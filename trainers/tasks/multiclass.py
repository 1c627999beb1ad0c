"""One of C classes an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import softmax

from foldtune.errors import DataError, Problem
from foldtune.trainers.arrays.voting import hard_vote
from foldtune.trainers.components import number, value_problems
from foldtune.trainers.data.label_columns import (
    check_names,
    encode_labels,
    known_positive,
    label_column,
    sort_labels,
)
from foldtune.trainers.losses import ONE_CLASS, losses_for
from foldtune.trainers.losses.weights import log_prior
from foldtune.trainers.metrics.classification import (
    COUNT_METRICS,
    auroc_ovr,
    log_loss,
    top_k_accuracy,
)
from foldtune.trainers.postprocess.offsets import fit_offsets, log_scores
from foldtune.trainers.tasks.base import Mode, Postprocess, Predictions, Scores, Targets
from foldtune.trainers.tasks.labelled import Labelled

_PRIOR_POWER_BOUNDS: Mapping[str, Any] = number(0.0, 0.0, 5.0).metadata
_OFFSET_BOUNDS: Mapping[str, Any] = number(0.0, -100.0, 100.0).metadata


@dataclass(frozen=True)
class Multiclass(Labelled):
    """One of C >= 2 classes an image; predicts ``argmax(log p - prior_power * log prior + offsets)``.

    Attributes:
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

    counts: tuple[float, ...]

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, target: str | Sequence[str], **options: Any) -> Self:
        """The task of the distinct labels, sorted, as numbers where all are."""
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

    @property
    def has_single_score(self) -> bool:
        return known_positive(self.labels) is not None

    def class_counts(self, targets: Targets) -> npt.NDArray[np.int64]:
        return np.bincount(targets, minlength=self.head_size)

    def for_training(self, train_targets: Targets) -> Self:
        return replace(self, counts=tuple(self.class_counts(train_targets).tolist()))

    def scores(self, logits: npt.NDArray[Any]) -> Scores:
        return np.asarray(softmax(np.asarray(logits, dtype=np.float64), axis=1))

    def default_postprocess(self) -> dict[str, Any]:
        return {"prior_power": 0.0, "offsets": {}}

    def _value_problems(self, path: str, name: str, value: Any) -> list[Problem]:
        if name == "prior_power":
            return value_problems(path, value, float, _PRIOR_POWER_BOUNDS)
        return self._problems_by_label(path, value, _OFFSET_BOUNDS, "numbers")

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
        counts = self._counts(targets, predictions)
        values = {name: metric(*counts) for name, metric in COUNT_METRICS.items()}
        values["top5_accuracy"] = top_k_accuracy(scores, targets, 5)
        values["auroc"] = auroc_ovr(scores, targets)
        values["loss"] = log_loss(scores, targets)
        return {name: values[name] for name in type(self).metrics}

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """Offsets alone; the prior that they adjust for is that of these rows, since no others may be counted."""
        self.mode(metric)  # raises for an unknown metric
        if metric not in self.tunable_metrics:
            return self.default_postprocess()
        targets = self.as_predictions(targets)
        offsets = fit_offsets(scores, targets, metric, log_prior(self.class_counts(targets)))
        return self.with_offsets(offsets)

    def with_offsets(self, offsets: npt.NDArray[np.float64]) -> dict[str, Any]:
        """The post-processing of offsets (C,)."""
        return {"prior_power": 0.0, "offsets": dict(zip(self.labels, offsets.tolist(), strict=True))}

    def hard_vote(
        self, member_predictions: Sequence[Predictions], mean: Scores, soft: Predictions, min_votes: int | None
    ) -> Predictions:
        return hard_vote(member_predictions, mean, min_votes, fallback=soft)

    def _named(self, predictions: Predictions) -> npt.NDArray[np.object_]:
        return np.asarray(self.labels, dtype=object)[predictions]

    def _by_label(self, scores: Scores) -> dict[str, npt.NDArray[Any]]:
        return dict(zip(self.labels, scores.T, strict=True))

    def _certain(self, predictions: Predictions) -> Scores:
        return np.eye(self.head_size)[predictions]

    def _certainty(self, scores: Scores, predictions: Predictions) -> npt.NDArray[Any]:
        return np.asarray(scores[np.arange(len(predictions)), predictions])

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        cls._require(values, "target", "labels", "counts")
        labels, counts = tuple(map(str, values["labels"])), tuple(map(int, values["counts"]))
        return cls(str(values["target"]), labels, counts)
