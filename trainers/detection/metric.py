"""Precision, recall and H-mean of boxes: matched one to one, counted over all images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.trainers.arrays.memo import ArrayMemo
from foldtune.trainers.detection.matching import match
from foldtune.trainers.detection.polygons import count_polygons, unpad
from foldtune.trainers.detection.targets import draw_text

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

STEP = 4
"""Stride of the grid of pixels on which the loss is computed, as it is after each epoch."""
_MIN_PROBABILITY = 1e-3  # probabilities are stored in 255ths
_FOUND: ArrayMemo[int] = ArrayMemo(20_000)  # a bootstrap counts the same images again and again


class Counts(NamedTuple):
    """Numbers of matched boxes, boxes and polygons; those of several images add up."""

    found: int
    boxes: int
    polygons: int

    @property
    def precision(self) -> float:
        """Share of boxes that are matched; 0 without a box."""
        return self.found / self.boxes if self.boxes else 0.0

    @property
    def recall(self) -> float:
        """Share of polygons that are matched; 0 without a polygon."""
        return self.found / self.polygons if self.polygons else 0.0

    @property
    def hmean(self) -> float:
        """Harmonic mean of precision and recall; 0 without box and polygon."""
        total = self.boxes + self.polygons
        return 2 * self.found / total if total else 0.0

    def figures(self) -> dict[str, float]:
        """Return H-mean, precision and recall by their names."""
        return {"hmean": self.hmean, "precision": self.precision, "recall": self.recall}


def count(predictions: Sequence[Floats] | npt.NDArray[Any], targets: Floats) -> Counts:
    """Return the counts of N images.

    Args:
        predictions: N arrays of boxes (p, 9) or (p, 8), in shares of width and height.
        targets: (N, P, V, 2) labelled polygons, in shares of width and height.
    """
    found = boxes = 0
    for predicted, target in zip(predictions, targets, strict=True):
        quads = np.asarray(predicted, dtype=np.float64)[:, :8].reshape(-1, 4, 2)
        found += _FOUND.get(partial(_count_found, quads, target), quads, target)
        boxes += len(quads)
    return Counts(found, boxes, int(count_polygons(targets).sum()))


def _count_found(quads: Floats, target: Floats) -> int:
    return len(match(quads, unpad(target)))


def map_loss(probabilities: Sequence[Floats] | Floats, targets: Floats) -> float:
    """Return the mean cross entropy of N maps (H, W) and the shrunk polygons of targets (N, P, V, 2).

    It is computed on every `STEP`-th pixel each way.
    """
    total = 0.0
    for each, target in zip(probabilities, targets, strict=True):
        text = draw_text(target, (each.shape[0], each.shape[1]))[::STEP, ::STEP]
        seen = np.asarray(each[::STEP, ::STEP], dtype=np.float64).clip(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
        total -= float(np.log(np.where(text > 0, seen, 1 - seen)).mean())
    return total / len(targets)
