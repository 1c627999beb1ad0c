"""One of two labels an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from foldtune.canonical import Spellings, spelling_notes
from foldtune.errors import DataError, Problem
from foldtune.trainers.data.label_columns import (
    check_names,
    encode_labels,
    known_positive,
    label_column,
    sort_labels,
)
from foldtune.trainers.losses import BINARY_LIKE, losses_for
from foldtune.trainers.metrics.classification import COUNT_METRICS, precision_recall_f1
from foldtune.trainers.metrics.multilabel import binary_log_loss, mean_auroc, mean_average_precision
from foldtune.trainers.postprocess.thresholds import (
    BINARY_TERMS,
    DEFAULT_THRESHOLD,
    apply_thresholds,
    best_threshold,
    threshold_problems,
)
from foldtune.trainers.tasks.base import Mode, Postprocess, Predictions, Scores, Targets
from foldtune.trainers.tasks.labelled import ThresholdTask
from foldtune.wording import first_few, shortened, unknown

_FROM_COUNTS = ("accuracy", "balanced_accuracy", "macro_f1")
ONE_SIDED_METRICS = frozenset({"f1", "precision", "sensitivity", "specificity", "map"})
"""Metrics that change where the positive label is the other one."""


def _rarer(names: Sequence[str], codes: npt.NDArray[np.int64]) -> str:
    first, second = np.bincount(codes, minlength=2)
    return names[0] if first < second else names[1]


@dataclass(frozen=True)
class Binary(ThresholdTask):
    """One of two labels an image: the positive one where its score reaches ``threshold``.

    The default metric treats both labels alike, so it does not depend on which of them is positive or frequent: any
    constant prediction has .5. f1 is of the positive label, and so favours it where it is
    frequent. Precision, sensitivity and specificity are reported, but no threshold is fitted for one of them alone:
    it would call every image the same.

    Attributes:
        labels: names of the negative and the positive label.
    """

    name: ClassVar[str] = "binary"
    metrics: ClassVar[Mapping[str, Mode]] = MappingProxyType(
        {
            "accuracy": "max",
            "balanced_accuracy": "max",
            "f1": "max",  # of the positive label
            "macro_f1": "max",  # mean of both labels'
            "precision": "max",
            "sensitivity": "max",  # recall of the positive label
            "specificity": "max",  # recall of the negative label
            "auroc": "max",  # of the scores; .5 where all rows have one label
            "map": "max",  # of the scores: average precision of the positive label; 0 where no row has it
            "loss": "min",  # of the scores
        }
    )
    default_metric: ClassVar[str] = "balanced_accuracy"
    tunable_metrics: ClassVar[frozenset[str]] = frozenset(BINARY_TERMS)
    losses: ClassVar[tuple[str, ...]] = losses_for(BINARY_LIKE)
    postprocess_names: ClassVar[tuple[str, ...]] = ("threshold",)
    option_names: ClassVar[tuple[str, ...]] = ("positive",)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, target: str | Sequence[str], **options: Any) -> Self:
        """The task of two labels.

        Positive is the option ``positive``, by default the one that `known_positive` names, else the rarer one.
        """
        if options.keys() - set(cls.option_names) or not isinstance(target, str):
            raise TypeError(f"binary takes one target column and the option positive, not {target!r}, {options}")
        labels = label_column(frame, target, "the table")
        names = sort_labels(labels)
        check_names(names, target)
        if len(names) != 2:
            shown = first_few([*map(shortened, names)])
            alike = spelling_notes(f"column '{target}'", names)
            instead = "; use the task multiclass or ordinal" if len(names) > 2 and not alike else ""
            found = f"{len(names)} labels ({shown})" if names else "no rows"
            raise DataError([f"column '{target}' has {found}; binary needs exactly two{instead}", *alike])
        given = options.get("positive")
        if given is None:
            positive = known_positive(names) or _rarer(names, encode_labels(labels, names, target, "the table"))
        elif (spelled := Spellings(names).find(str(given))) is not None:
            positive = spelled
        else:
            raise DataError([f"positive: {unknown('label', str(given), names)} (of column '{target}')"])
        return cls(target, (names[1 - names.index(positive)], positive))

    @property
    def head_size(self) -> int:
        return 1

    @property
    def has_single_score(self) -> bool:
        return True

    def class_counts(self, targets: Targets) -> npt.NDArray[np.int64]:
        return np.bincount(targets, minlength=2)

    def scores(self, logits: npt.NDArray[Any]) -> Scores:
        return np.asarray(expit(np.asarray(logits, dtype=np.float64).reshape(len(logits))))

    def default_postprocess(self) -> dict[str, Any]:
        return {"threshold": DEFAULT_THRESHOLD}

    def _value_problems(self, path: str, name: str, value: Any) -> list[Problem]:
        return threshold_problems(path, value)

    def predict(self, scores: Scores, postprocess: Postprocess | None = None) -> Predictions:
        return apply_thresholds(scores, float((postprocess or {}).get("threshold", DEFAULT_THRESHOLD)))

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        counts = self._counts(targets, predictions)
        precision, recall, f1 = (side.tolist() for side in precision_recall_f1(*counts))
        values = {name: COUNT_METRICS[name](*counts) for name in _FROM_COUNTS}
        values |= {"f1": f1[1], "precision": precision[1], "sensitivity": recall[1], "specificity": recall[0]}
        values["auroc"] = mean_auroc(scores[:, None], targets[:, None])
        values["map"] = mean_average_precision(scores[:, None], targets[:, None])
        values["loss"] = binary_log_loss(scores, targets)
        return {name: values[name] for name in type(self).metrics}

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """The exact threshold; of equally good ones the nearest to the default."""
        self.mode(metric)  # raises for an unknown metric
        if metric not in self.tunable_metrics:
            return self.default_postprocess()
        return {"threshold": best_threshold(scores, targets, BINARY_TERMS[metric])}

    def _names_labels(self, columns: Sequence[str]) -> bool:
        return columns == [self.labels[1]] != [self.target] or super()._names_labels(columns)

    def _named(self, predictions: Predictions) -> npt.NDArray[np.object_]:
        return np.asarray(self.labels, dtype=object)[predictions]

    def _by_label(self, scores: Scores) -> dict[str, npt.NDArray[Any]]:
        return dict(zip(self.labels, (1.0 - scores, scores), strict=True))

    def _certain(self, predictions: Predictions) -> Scores:
        return predictions.astype(np.float64)

    def _certainty(self, scores: Scores, predictions: Predictions) -> npt.NDArray[Any]:
        return np.where(predictions == 1, scores, 1.0 - scores)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        cls._require(values, "target", "labels")
        negative, positive = map(str, values["labels"])
        return cls(str(values["target"]), (negative, positive))
