"""What is drawn into an image of the boxes that were found in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.detection.matching import match
from foldtune.trainers.detection.polygons import unpad

if TYPE_CHECKING:
    from foldtune.trainers.arrays.types import Mark


def marks_of(boxes: npt.NDArray[np.floating[Any]], target: npt.NDArray[np.floating[Any]] | None) -> list[Mark]:
    """A mark for each of an image's boxes (p, 9), with its score; of a labelled one (P, V, 2) also what was missed."""
    from foldtune.trainers.arrays.types import Mark  # here, since that package's tasks import this one

    quads = np.asarray(boxes, dtype=np.float64)[:, :8].reshape(-1, 4, 2)
    captions = [f"{score:.2f}" for score in boxes[:, 8]]
    if target is None:
        return [Mark(quad, caption, "found") for quad, caption in zip(quads, captions, strict=True)]
    wanted = unpad(target)
    by_polygon = match(quads, wanted)
    hits = set(by_polygon.values())
    missed = [Mark(each, "", "miss") for place, each in enumerate(wanted) if place not in by_polygon]
    return missed + [
        Mark(quad, captions[place], "hit" if place in hits else "false alarm") for place, quad in enumerate(quads)
    ]
