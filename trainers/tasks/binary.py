"""One of two labels an image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from foldtune.canonical import Spellings, spelling_notes
from foldtune.errors import DataError, Problem
from foldtune.trainers.arrays.voting import hard_vote_on
from foldtune.trainers.data.label_columns import (
    check_names,
    encode_labels,
    known_positive,
    label_column,
    label_notes,
    sort_labels,
)
from foldtune.trainers.losses import BINARY_LIKE, losses_for
from foldtune.trainers.metrics.classification import COUNT_METRICS, confusion_counts, precision_recall_f1
from foldtune.trainers.metrics.multilabel import binary_log_loss, mean_auroc, mean_average_precision
from foldtune.trainers.postprocess.fold_alignment import align_positive_rates
from foldtune.trainers.postprocess.thresholds import (
    BINARY_TERMS,
    DEFAULT_THRESHOLD,
    apply_thresholds,
    best_threshold,
    threshold_problems,
)
from foldtune.trainers.tasks.base import Ids, Mode, Postprocess, Predictions, Scores, Targets, Task
from foldtune.wording import shortened, unknown

_FROM_COUNTS = ("accuracy", "balanced_accuracy", "macro_f1")
ONE_SIDED_METRICS = frozenset({"f1", "precision", "sensitivity", "specificity", "map"})
"""Metrics that change where the positive label is the other one."""


def _rarer(names: Sequence[str], codes: npt.NDArray[np.int64]) -> str:
    first, second = np.bincount(codes, minlength=2)
    return names[0] if first < second else names[1]


@dataclass(frozen=True)
class Binary(Task):
    """One of two labels an image: the positive one where its score reaches ``threshold``.

    The default metric treats both labels alike, so it does not depend on which of them is positive or frequent: any
    constant prediction has .5. f1 is of the positive label, and so favours it where it is
    frequent. Precision, sensitivity and specificity are reported, but no threshold is fitted for one of them alone:
    it would call every image the same.

    Attributes:
        target: the column of labels.
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

    target: str
    labels: tuple[str, str]

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
            shown = ", ".join(map(shortened, names[:5])) + (", …" if len(names) > 5 else "")
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

    def encode(self, frame: pd.DataFrame, source: Path | str = "the table") -> Targets:
        return encode_labels(label_column(frame, self.target, source), self.labels, self.target, source)

    def label_notes(self, frame: pd.DataFrame) -> tuple[str, ...]:
        return label_notes(self.target, label_column(frame, self.target, "the table"))

    @property
    def has_single_score(self) -> bool:
        return True

    @property
    def label_names(self) -> tuple[str, ...]:
        return self.labels

    @property
    def head_size(self) -> int:
        return 1

    def strata(self, targets: Targets) -> npt.NDArray[np.int64]:
        return targets

    def sampling_classes(self, targets: Targets) -> npt.NDArray[np.int64]:
        return targets

    def class_counts(self, targets: Targets) -> npt.NDArray[np.int64]:
        return np.bincount(targets, minlength=2)

    def scores(self, logits: npt.NDArray[Any]) -> Scores:
        return np.asarray(expit(np.asarray(logits, dtype=np.float64).reshape(len(logits))))

    def fold_offsets(self, fold_logits: Iterable[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        return align_positive_rates(list(fold_logits))

    def default_postprocess(self) -> dict[str, Any]:
        return {"threshold": DEFAULT_THRESHOLD}

    def check_postprocess(self, postprocess: Postprocess) -> list[Problem]:
        problems = []
        for name, value in postprocess.items():
            path = f"postprocess.{name}"
            if name == "threshold":
                problems += threshold_problems(path, value)
            else:
                problems.append(Problem(path, unknown("post-processing", str(name), self.postprocess_names)))
        return problems

    def predict(self, scores: Scores, postprocess: Postprocess | None = None) -> Predictions:
        return apply_thresholds(scores, float((postprocess or {}).get("threshold", DEFAULT_THRESHOLD)))

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        counts = confusion_counts(targets, predictions, 2)
        precision, recall, f1 = (side.tolist() for side in precision_recall_f1(*counts))
        values = {name: COUNT_METRICS[name](*counts) for name in _FROM_COUNTS}
        values |= {"f1": f1[1], "precision": precision[1], "sensitivity": recall[1], "specificity": recall[0]}
        values["auroc"] = mean_auroc(scores[:, None], targets[:, None])
        values["map"] = mean_average_precision(scores[:, None], targets[:, None])
        values["loss"] = binary_log_loss(scores, targets)
        return {name: values[name] for name in type(self).metrics}

    def per_class(self, predictions: Predictions, targets: Targets) -> list[dict[str, Any]]:
        counts = confusion_counts(targets, predictions, 2)
        figures = (*(side.tolist() for side in precision_recall_f1(*counts)), counts[2].tolist())
        names = ("label", "precision", "recall", "f1", "support")
        return [dict(zip(names, row, strict=True)) for row in zip(self.labels, *figures, strict=True)]

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """The exact threshold; of equally good ones the nearest to the default."""
        self.mode(metric)  # raises for an unknown metric
        if metric not in self.tunable_metrics:
            return self.default_postprocess()
        return {"threshold": best_threshold(scores, targets, BINARY_TERMS[metric])}

    def hard_vote(
        self, member_predictions: Sequence[Predictions], mean: Scores, soft: Predictions, min_votes: int | None
    ) -> Predictions:
        return hard_vote_on(member_predictions, soft, min_votes)

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
        """Labels, or probabilities in columns that are named after both labels or the positive one."""
        probability = predictions.astype(np.float64) if scores is None else scores
        by_label = dict(zip(self.labels, (1.0 - probability, probability), strict=True))
        wanted = list(columns[1:])
        if wanted == [self.labels[1]] != [self.target] or sorted(wanted) == sorted(self.labels):
            return pd.DataFrame({columns[0]: list(ids)} | {name: by_label[name] for name in wanted})
        if len(wanted) == 1:
            named = probability if as_scores else np.asarray(self.labels, dtype=object)[predictions]
            return pd.DataFrame({columns[0]: list(ids), wanted[0]: named})
        forms = f"an id and a label column, or an id column and one a label ({', '.join(self.labels)})"
        raise DataError([f"columns {', '.join(columns)}: binary fills {forms}"])

    def prediction_frame(
        self, scores: Scores, predictions: Predictions, *, image_sizes: npt.NDArray[np.int64] | None = None
    ) -> pd.DataFrame:
        labels = np.asarray(self.labels, dtype=object)[predictions]
        own = np.where(predictions == 1, scores, 1.0 - scores)
        columns = {f"score_{self.labels[0]}": 1.0 - scores, f"score_{self.labels[1]}": scores}
        return pd.DataFrame({"label": labels, "score": own, **columns})

    def to_dict(self) -> dict[str, Any]:
        return {"task": self.name, **asdict(self), "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        missing = [name for name in ("target", "labels") if name not in values]
        if missing:
            raise DataError([f"not a binary task: no {', '.join(missing)}"])
        negative, positive = map(str, values["labels"])
        return cls(str(values["target"]), (negative, positive))
