"""Thresholds for scores in [0, 1], fitted exactly: a label is on where its score reaches the threshold.

Sort the scores once: cutting after the k highest gives TP(k) of the P positives, and so every metric of the counts at
every cut. A cut lies only between different scores, in their middle. Scores are compared as `bounded`: one that was
rounded to 0 or 1 still lies above or below some threshold, so all rows can be on, or none. By hand, since scikit-learn
has no exact fit of a chosen metric, and its metrics take 170 to 210 times as long on 2,000 rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from foldtune.errors import Problem
from foldtune.trainers.components import number, value_problems
from foldtune.trainers.metrics.classification import SMALLEST_SCORE, FloatArray, IntArray

DEFAULT_THRESHOLD = 0.5
SHRINKAGE = 10.0
"""Number of positives at which a label's own threshold and the common one have equal weights; 4 to 20 differ little."""

_GAIN = 1e-10  # smaller gains of a metric are rounding
THRESHOLD_BOUNDS: Mapping[str, Any] = number(DEFAULT_THRESHOLD, 0.0, 1.0).metadata

Term: TypeAlias = Callable[[Any, Any, Any, int], FloatArray]
"""(true positives, predicted, actual positives, all) -> a metric, element by element; 0 where undefined."""


def f_beta(beta: float) -> Term:
    """Return the F-beta term ``(1+β²)·TP / (β²·P + k)`` of P positives and k predicted ones."""

    def term(hits: Any, predicted: Any, actual: Any, _: int) -> FloatArray:
        whole = beta**2 * actual + predicted
        return np.asarray((1.0 + beta**2) * hits / np.where(whole > 0, whole, 1.0))

    return term


def _accuracy(hits: Any, predicted: Any, actual: Any, rows: int) -> FloatArray:
    return np.asarray((rows - predicted - actual + 2 * hits) / rows)


def _balanced_accuracy(hits: Any, predicted: Any, actual: Any, rows: int) -> FloatArray:
    """Return the mean recall of the classes that occur, as scikit-learn's."""
    negatives = rows - actual
    right = hits / np.maximum(actual, 1) + (negatives - predicted + hits) / np.maximum(negatives, 1)
    return np.asarray(right / ((np.asarray(actual) > 0) * 1.0 + (negatives > 0)))


def _macro_f1(hits: Any, predicted: Any, actual: Any, rows: int) -> FloatArray:
    """Return the mean F1 of the two classes."""
    negatives = f_beta(1.0)(rows - predicted - actual + hits, rows - predicted, rows - actual, rows)
    return np.asarray((f_beta(1.0)(hits, predicted, actual, rows) + negatives) / 2.0)


def exact_match(hits: Any, predicted: Any, actual: Any, _: int) -> FloatArray:
    """Return 1 where the predicted are exactly the positives, else 0."""
    return np.asarray((hits == predicted) & (hits == actual), dtype=np.float64)


BINARY_TERMS: Mapping[str, Term] = MappingProxyType(
    {"accuracy": _accuracy, "balanced_accuracy": _balanced_accuracy, "f1": f_beta(1.0), "macro_f1": _macro_f1}
)
"""Metrics that one threshold can be fitted for."""


_ROW_TERMS: Mapping[str, Term] = MappingProxyType({"samples_f1": f_beta(1.0), "accuracy": exact_match})


def bounded(scores: npt.NDArray[Any]) -> FloatArray:
    """Return scores in float64, clipped to [1e-12, 1 - 1e-12]."""
    return np.clip(np.asarray(scores, dtype=np.float64), SMALLEST_SCORE, 1.0 - SMALLEST_SCORE)


def apply_thresholds(scores: npt.NDArray[Any], thresholds: npt.ArrayLike) -> IntArray:
    """Return 1 where a score is at or above its threshold, else 0; threshold 0 takes every score, 1 none."""
    return np.asarray(bounded(scores) >= np.asarray(thresholds), dtype=np.int64)


def threshold_problems(path: str, value: object) -> list[Problem]:
    """Return the problem of a threshold at the key ``path``, if any."""
    return value_problems(path, value, float, THRESHOLD_BOUNDS)


@dataclass(frozen=True)
class Cuts:
    """All distinct cuts of N scores in two, from none predicted to all of them.

    Attributes:
        ordered: (N,) scores, descending.
        predicted: (K,) number of scores at or above the threshold of each cut.
        hits: (K,) positives among them.
    """

    ordered: FloatArray
    predicted: IntArray
    hits: IntArray

    @classmethod
    def of(cls, scores: npt.NDArray[Any], targets: IntArray) -> Cuts:
        """Return the cuts of scores (N,) with targets (N,) 0/1."""
        ordered = bounded(scores)
        order = ordered.argsort()[::-1]
        return cls.of_falling(ordered[order], targets[order])

    @classmethod
    def of_falling(cls, ordered: FloatArray, targets: IntArray) -> Cuts:
        """Return the cuts of bounded descending scores (N,) with their targets."""
        hits = np.concatenate([[0], np.cumsum(targets)])
        predicted = np.flatnonzero(_cuttable(ordered))
        return cls(ordered, predicted, hits[predicted])

    def nearest_best(self, values: FloatArray, near: float) -> float:
        """Return the threshold with the highest of (K,) values; of equal ones the nearest to ``near``.

        A threshold lies halfway between the scores that it separates, the outermost halfway to 1 and 0.
        """
        best = _between(self.ordered, self.predicted[values >= values.max() - _GAIN])
        return float(best[np.abs(best - near).argmin()])


def _cuttable(ordered: FloatArray) -> npt.NDArray[np.bool_]:
    """Return (N+1,) whether descending scores (N,) can be cut before each index, and after the last."""
    return np.concatenate([[True], ordered[1:] != ordered[:-1], [True]])[: len(ordered) + 1]


def _between(ordered: FloatArray, places: IntArray) -> FloatArray:
    """Return thresholds that cut descending scores (N,) before these indices, 0 to N."""
    edges = np.concatenate([[1.0], ordered, [0.0]])
    above, below = edges[places], edges[places + 1]
    middle = (above + below) / 2.0
    return np.where(middle > below, middle, above)  # between adjacent floats the middle is one of them


def best_threshold(
    scores: npt.NDArray[Any], targets: IntArray, term: Term, *, near: float = DEFAULT_THRESHOLD
) -> float:
    """Return the best threshold of scores (N,) on targets (N,) 0/1: exact, O(N log N).

    >>> round(best_threshold(np.array([0.9, 0.6, 0.3, 0.2]), np.array([1, 1, 0, 1]), f_beta(0.5)), 6)
    0.45
    """
    return _best(Cuts.of(scores, targets), term, near)


def _best(cuts: Cuts, term: Term, near: float) -> float:
    rows, positives = len(cuts.ordered), int(cuts.hits[-1])
    return cuts.nearest_best(term(cuts.hits, cuts.predicted, positives, rows), near)


@dataclass(frozen=True)
class Sorted:
    """Scores of U units, each unit's sorted once for all fits.

    Attributes:
        scores: (U, M) bounded, ascending along each unit.
        targets: (U, M) 0/1, in the same order.
    """

    scores: FloatArray
    targets: IntArray

    @classmethod
    def of(cls, scores: npt.NDArray[Any], targets: IntArray) -> Sorted:
        """Sort scores and targets (U, M)."""
        kept = np.ascontiguousarray(bounded(scores))
        order = kept.argsort(axis=1)
        return cls(np.take_along_axis(kept, order, axis=1), np.take_along_axis(targets, order, axis=1))

    def common_threshold(self, term: Term, *, near: float = DEFAULT_THRESHOLD) -> float:
        """Return the common threshold with the highest mean over the units of a metric of each unit's M scores.

        Exact: passing a score changes only its unit's term, so the changes in the order of all scores add up to the
        metric at every cut.
        """
        units, size = self.scores.shape
        hits = np.zeros((units, size + 1), dtype=np.int64)
        np.cumsum(self.targets[:, ::-1], axis=1, out=hits[:, 1:])
        values = term(hits, np.arange(size + 1), hits[:, -1:], size) / units
        pooled = self.scores.ravel()
        falling = pooled.argsort(kind="stable")[::-1]  # which merges what is sorted already
        ordered = pooled[falling]
        changes = np.diff(values, axis=1)[:, ::-1].ravel()[falling]
        totals = np.cumsum(np.concatenate([[values[:, 0].sum()], changes]))
        places = np.flatnonzero(_cuttable(ordered))
        return Cuts(ordered, places, places).nearest_best(totals[places], near)

    def thresholds(self, term: Term, *, near: float = DEFAULT_THRESHOLD) -> FloatArray:
        """Return the best threshold (U,) of each unit alone: best for a macro average."""
        return np.array(
            [
                _best(Cuts.of_falling(own[::-1], wanted[::-1]), term, near)
                for own, wanted in zip(self.scores, self.targets, strict=True)
            ]
        )


def common_threshold(
    scores: npt.NDArray[Any], targets: IntArray, term: Term, *, near: float = DEFAULT_THRESHOLD
) -> float:
    """Return the common threshold of scores (U, M) with the highest mean over the units of each unit's metric.

    Units are labels for a macro average, rows for a samples average, one alone for a micro average.
    """
    return Sorted.of(scores, targets).common_threshold(term, near=near)


def micro_f1_thresholds(scores: npt.NDArray[Any], targets: IntArray, *, near: float = DEFAULT_THRESHOLD) -> FloatArray:
    """Return the thresholds (L,) of scores and targets (N, L) with the highest F1 over all labels pooled.

    Dinkelbach 1967: F = 2·ΣTP / (ΣP + Σk) is at its highest F* where max(2·ΣTP - F*·(ΣP + Σk)) = 0, and that maximum
    separates into one a label. F grows with every step and reaches F* after a handful of them.
    """
    labels = [Cuts.of(own, wanted) for own, wanted in zip(scores.T, targets.T, strict=True)]
    actual, value = int(targets.sum()), 0.0
    while True:
        best = [int((2 * cuts.hits - value * cuts.predicted).argmax()) for cuts in labels]
        hits = sum(int(cuts.hits[cut]) for cuts, cut in zip(labels, best, strict=True))
        predicted = sum(int(cuts.predicted[cut]) for cuts, cut in zip(labels, best, strict=True))
        reached = 2.0 * hits / max(predicted + actual, 1)
        if reached <= value + _GAIN:
            break
        value = reached
    return np.array([cuts.nearest_best(2 * cuts.hits - value * cuts.predicted, near) for cuts in labels])


def shrink(
    thresholds: FloatArray, common: float, positives: npt.NDArray[Any], shrinkage: float = SHRINKAGE
) -> FloatArray:
    """(L,) ``(n·t + κ·common) / (n + κ)`` in logit space: a label with few positives n (L,) is unreliable alone.

    A label without positives takes the common threshold; κ = ``shrinkage`` = 0 leaves the others as they are.
    """
    if shrinkage == 0:
        return np.where(positives > 0, thresholds, common)
    own, shared = logit(bounded(thresholds)), logit(bounded(np.array(common)))
    return np.asarray(expit((positives * own + shrinkage * shared) / (positives + shrinkage)))


def common_and_label_thresholds(
    scores: npt.NDArray[Any], targets: IntArray, metric: str, *, shrinkage: float = SHRINKAGE
) -> tuple[float, FloatArray | None]:
    """Return the best common threshold of scores and targets (N, L), and one a label (L,) shrunk towards it.

    Args:
        scores: (N, L) in [0, 1].
        targets: (N, L) 0/1.
        metric: macro_f1 and micro_f1 separate into labels; samples_f1 and accuracy (rows with all labels right) do
            not, and have the common threshold alone (None).
        shrinkage: κ of `shrink`.
    """
    f1 = f_beta(1.0)
    if metric == "macro_f1":
        ordered = Sorted.of(scores.T, targets.T)
        common = ordered.common_threshold(f1)
        own = ordered.thresholds(f1, near=common)
    elif metric == "micro_f1":
        common = best_threshold(scores.ravel(), targets.ravel(), f1)
        own = micro_f1_thresholds(scores, targets, near=common)
    else:
        return common_threshold(scores, targets, _ROW_TERMS[metric]), None
    return common, shrink(own, common, targets.sum(axis=0), shrinkage)
