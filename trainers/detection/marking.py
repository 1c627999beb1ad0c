"""Annotations of an image: the boxes found in it and, where it is labelled, those missed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.arrays.types import Annotation
from foldtune.trainers.detection.matching import match
from foldtune.trainers.detection.polygons import unpad


def annotations_of(
    boxes: npt.NDArray[np.floating[Any]], target: npt.NDArray[np.floating[Any]] | None
) -> list[Annotation]:
    """Annotations of an image's boxes (p, 9) with their scores and, given its target (P, V, 2), of missed polygons."""
    quads = np.asarray(boxes, dtype=np.float64)[:, :8].reshape(-1, 4, 2)
    captions = [f"{score:.2f}" for score in boxes[:, 8]]
    if target is None:
        return [Annotation(quad, caption, "found") for quad, caption in zip(quads, captions, strict=True)]
    wanted = unpad(target)
    by_polygon = match(quads, wanted)
    hits = set(by_polygon.values())
    missed = [Annotation(each, "", "miss") for place, each in enumerate(wanted) if place not in by_polygon]
    return missed + [
        Annotation(quad, captions[place], "hit" if place in hits else "false alarm") for place, quad in enumerate(quads)
    ]
