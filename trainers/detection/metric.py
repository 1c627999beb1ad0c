"""Precision, recall and H-mean of boxes: found one to one, counted over all images."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.trainers.detection.matching import match
from foldtune.trainers.detection.polygons import count_polygons, unpad
from foldtune.trainers.detection.targets import draw_text

Floats: TypeAlias = npt.NDArray[np.floating[Any]]

STEP = 4
"""Of every so many pixels each way one counts for the loss, which is looked at after each epoch."""
_LEAST = 1e-3  # probabilities are known to a 255th


class Counts(NamedTuple):
    """Boxes that found a polygon, boxes, and polygons; sums over images add up."""

    found: int
    boxes: int
    polygons: int

    @property
    def precision(self) -> float:
        """0 where there is no box."""
        return self.found / self.boxes if self.boxes else 0.0

    @property
    def recall(self) -> float:
        """0 where there is no polygon."""
        return self.found / self.polygons if self.polygons else 0.0

    @property
    def hmean(self) -> float:
        """Harmonic mean of precision and recall, 0 where there is neither box nor polygon."""
        total = self.boxes + self.polygons
        return 2 * self.found / total if total else 0.0

    def figures(self) -> dict[str, float]:
        """H-mean, precision and recall by their names."""
        return {"hmean": self.hmean, "precision": self.precision, "recall": self.recall}


class _Known:
    """Cache of the matches per image: a bootstrap evaluates the same images repeatedly."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._found: OrderedDict[bytes, int] = OrderedDict()

    def found(self, quads: Floats, target: Floats) -> int:
        digest = hashlib.blake2b(np.ascontiguousarray(quads).data, digest_size=16)
        digest.update(np.ascontiguousarray(target).data)
        key = digest.digest()
        if key not in self._found:
            self._found[key] = len(match(quads, unpad(target)))
            if len(self._found) > self._most:
                self._found.popitem(last=False)
        return self._found[key]


_KNOWN = _Known(20_000)


def count(predictions: Sequence[Floats] | npt.NDArray[Any], targets: Floats) -> Counts:
    """Counts of N images' boxes (p, 9) or (p, 8) against targets (N, P, V, 2), both as shares of width and height."""
    found = boxes = 0
    for predicted, target in zip(predictions, targets, strict=True):
        quads = np.asarray(predicted, dtype=np.float64)[:, :8].reshape(-1, 4, 2)
        found += _KNOWN.found(quads, target)
        boxes += len(quads)
    return Counts(found, boxes, int(count_polygons(targets).sum()))


def map_loss(probabilities: Sequence[Floats] | Floats, targets: Floats) -> float:
    """Mean cross entropy of N maps (H, W) against the shrunk polygons of targets (N, P, V, 2), on a grid of pixels."""
    total = 0.0
    for each, target in zip(probabilities, targets, strict=True):
        text = draw_text(target, (each.shape[0], each.shape[1]))[::STEP, ::STEP]
        seen = np.asarray(each[::STEP, ::STEP], dtype=np.float64).clip(_LEAST, 1 - _LEAST)
        total -= float(np.log(np.where(text > 0, seen, 1 - seen)).mean())
    return total / len(targets)
