"""One of K levels an image, which have an order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import canonical_text
from foldtune.errors import DataError, Problem
from foldtune.trainers.components import number, value_problems
from foldtune.trainers.data.label_columns import label_column
from foldtune.trainers.losses import ONE_CLASS, ORDERED, losses_for
from foldtune.trainers.metrics.classification import ORDINAL_METRICS, FloatArray, confusion_matrix, log_loss
from foldtune.trainers.postprocess.cuts import apply_cuts, expected_levels, fit_cuts, rounding_cuts
from foldtune.trainers.postprocess.fold_alignment import align_fold_biases
from foldtune.trainers.tasks.base import Mode, Postprocess, Predictions, Scores, Targets
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.wording import first_few, unknown

if TYPE_CHECKING:
    from torch import nn

    from foldtune.trainers.settings import TrialSettings

ROUNDING = "rounding"
ARGMAX = "argmax"
_GAIN = 1e-10  # smaller gains of a metric are rounding


@dataclass(frozen=True)
class Ordinal(Multiclass):
    """One of K >= 2 levels an image: classes that have an order, by their numbers, and K-1 cuts between them.

    An image's expected level, the mean of 0 to K-1 under its scores, is cut at K-1 points: it is predicted as the
    number of cuts at or below it. ``postprocess.cuts`` is one of

    - ``rounding`` (the default): cuts at 0.5, 1.5, …, the nearest level. It respects how far a mistake goes, as qwk
      does, but a model that is unsure seldom predicts the outermost levels: fit the cuts;
    - ``argmax``: no cuts but the level with the highest score, which does better by plain accuracy;
    - K-1 numbers that do not fall, or a mapping from levels (all but the lowest) to the cut below each, which a
      space can sample one by one, from ranges that do not overlap; levels left out keep the cut of rounding.

    The model's outputs in evaluation are (N, K), whatever the loss: see `foldtune.trainers.networks.ordinal_heads`.
    """

    name: ClassVar[str] = "ordinal"
    metrics: ClassVar[Mapping[str, Mode]] = MappingProxyType(
        {
            "qwk": "max",
            "accuracy": "max",
            "balanced_accuracy": "max",
            "macro_f1": "max",
            "adjacent_accuracy": "max",  # at most one level off
            "penalty_recall": "max",
            "mae": "min",  # levels off
            "loss": "min",  # of the scores
        }
    )
    default_metric: ClassVar[str] = "qwk"
    tunable_metrics: ClassVar[frozenset[str]] = frozenset(ORDINAL_METRICS)
    losses: ClassVar[tuple[str, ...]] = losses_for(ONE_CLASS, ORDERED)
    postprocess_names: ClassVar[tuple[str, ...]] = ("cuts",)

    @classmethod
    def from_frame(cls, frame: pd.DataFrame, target: str | Sequence[str], **options: Any) -> Self:
        if isinstance(target, str):
            _check_spelling(label_column(frame, target, "the table"), target)
        task = super().from_frame(frame, target, **options)
        _check_levels(task.labels, task.target)
        return task

    def fold_offsets(self, fold_logits: Iterable[FloatArray]) -> list[FloatArray]:
        return align_fold_biases(list(fold_logits))

    def build_model(self, settings: TrialSettings) -> nn.Module:
        from foldtune.trainers.networks.ordinal_heads import ORDINAL_HEADS, add_head

        if settings.loss.name not in ORDINAL_HEADS:
            return super().build_model(settings)
        head = ORDINAL_HEADS[settings.loss.name](len(self.labels))
        return add_head(self._timm_network(settings, head.num_inputs), head)

    def default_postprocess(self) -> dict[str, Any]:
        return {"cuts": ROUNDING}

    def _value_problems(self, path: str, name: str, cuts: Any) -> list[Problem]:
        higher = self.labels[1:]
        if isinstance(cuts, str):
            return [] if cuts in (ROUNDING, ARGMAX) else [Problem(path, unknown("rule", cuts, (ROUNDING, ARGMAX)))]
        if isinstance(cuts, Mapping):
            strange = [str(label) for label in cuts if str(label) not in higher]
            if strange:
                return [Problem(f"{path}.{label}", self._strange_level(label)) for label in strange]
            given = {f"{path}.{label}": value for label, value in cuts.items()}
        elif isinstance(cuts, Sequence):
            if len(cuts) != len(higher):
                return [Problem(path, f"{len(cuts)} cuts; {len(self.labels)} levels need {len(higher)}")]
            given = {f"{path}.{index}": value for index, value in enumerate(cuts)}
        else:
            forms = f"must be {ROUNDING}, {ARGMAX}, {len(higher)} numbers or a mapping from levels to numbers"
            return [Problem(path, f"{forms}, not {cuts!r}")]
        bounds: Mapping[str, Any] = number(0.0, -1.0, len(self.labels)).metadata
        problems = [found for where, value in given.items() for found in value_problems(where, value, float, bounds)]
        return problems or self._order_problems(path, cuts)

    def _strange_level(self, label: str) -> str:
        if label == self.labels[0]:
            return f"'{label}' is the lowest level and has no cut below it; valid: {', '.join(self.labels[1:])}"
        return unknown("level", label, self.labels[1:])

    def _order_problems(self, path: str, cuts: Mapping[Any, Any] | Sequence[Any]) -> list[Problem]:
        values = self._cuts(cuts)
        falls = [(low, high) for low, high in pairwise(values.tolist()) if high < low]
        shown = ", ".join(f"{high:g} comes after {low:g}" for low, high in falls)
        listed = ", ".join(f"{value:g}" for value in values)
        return [Problem(path, f"cuts must not fall from level to level, but {shown} in {listed}")] if falls else []

    def _cuts(self, cuts: Any) -> FloatArray:
        """The numbers (K-1,) of any form of cuts but argmax."""
        default = rounding_cuts(len(self.labels))
        if isinstance(cuts, str):
            return default
        if isinstance(cuts, Mapping):
            given = {str(label): value for label, value in cuts.items()}
            cuts = [given.get(label, cut) for label, cut in zip(self.labels[1:], default, strict=True)]
        return np.asarray(cuts, dtype=np.float64)

    def predict(self, scores: Scores, postprocess: Postprocess | None = None) -> Predictions:
        cuts = (postprocess or {}).get("cuts", ROUNDING)
        if isinstance(cuts, str) and cuts == ARGMAX:
            return np.asarray(scores.argmax(axis=1), dtype=np.int64)  # ties: the lower level
        return apply_cuts(expected_levels(scores), self._cuts(cuts))

    def evaluate(self, scores: Scores, predictions: Predictions, targets: Targets) -> dict[str, float]:
        confusion = confusion_matrix(targets, predictions, len(self.labels))
        values = {name: metric(confusion) for name, metric in ORDINAL_METRICS.items()}
        values["loss"] = log_loss(scores, targets)
        return {name: values[name] for name in type(self).metrics}

    def fit_postprocess(self, scores: Scores, targets: Targets, metric: str) -> dict[str, Any]:
        """The better of the two rules without parameters, or the exact cuts where they do better still.

        By accuracy they have to do better by two standard errors of the difference: the level with the highest score
        is optimal for accuracy, and cuts on the mean level mostly fit the noise of these rows (docs/retinamnist.md).
        """
        sign = 1.0 if self.mode(metric) == "max" else -1.0  # raises for an unknown metric
        if metric not in self.tunable_metrics:
            return self.default_postprocess()

        def worth(cuts: Any) -> tuple[float, Predictions]:
            predictions = self.predict(scores, {"cuts": cuts})
            return sign * ORDINAL_METRICS[metric](confusion_matrix(targets, predictions, len(self.labels))), predictions

        rules = {rule: worth(rule) for rule in (ROUNDING, ARGMAX)}
        rule = ARGMAX if rules[ARGMAX][0] > rules[ROUNDING][0] + _GAIN else ROUNDING
        value, plain = rules[rule]
        fitted = fit_cuts(expected_levels(scores), targets, metric, len(self.labels)).tolist()
        fitted_value, cut = worth(fitted)
        better = fitted_value > value + _GAIN
        if metric == "accuracy":
            better = better and _surely_more(cut == targets, plain == targets)
        return {"cuts": fitted if better else rule}


def _surely_more(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> bool:
    """Whether the first has more hits on the same rows by two standard errors of the difference (McNemar 1947)."""
    difference = first.astype(np.int64) - second.astype(np.int64)
    return bool(difference.sum() > 2.0 * np.sqrt(len(difference)) * difference.std())


def _check_spelling(labels: npt.NDArray[Any], target: str) -> None:
    """Refuse one number written in two ways: of levels the order is at stake, so nothing is merged unasked."""
    numbers: dict[float, set[str]] = {}
    for label in set(map(canonical_text, labels)):
        if is_number(label):
            numbers.setdefault(float(label), set()).add(label)
    same = [" and ".join(map(repr, sorted(of))) for of in numbers.values() if len(of) > 1]
    if same:
        raise DataError([f"column '{target}': {', '.join(same)} are one number; write it in one way"])


def _check_levels(labels: Sequence[str], target: str) -> None:
    """Refuse levels whose order is not plain, which are text."""
    strange = [label for label in labels if not is_number(label)]
    if strange:
        shown = first_few([f"'{label}'" for label in strange])
        advice = "levels are ordered as numbers; number them 0, 1, 2 …, or use task multiclass"
        raise DataError([f"column '{target}': not a number: {shown}; {advice}"])


def is_number(label: str) -> bool:
    """Return whether a label is a finite number."""
    try:
        return math.isfinite(float(label))
    except ValueError:
        return False
