"""Boxes for people: tables of submissions and predictions, drawable annotations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.arrays.types import Annotation
from foldtune.trainers.detection.metric import match
from foldtune.trainers.detection.polygons import Points, unpad

Sizes = npt.NDArray[np.int64]


def submission_frame(
    ids: Sequence[str], predictions: npt.NDArray[Any], columns: Sequence[str], sizes: Sizes
) -> pd.DataFrame:
    """Return two columns, ids and polygons: ``x1 y1 x2 y2 x3 y3 x4 y4|…``, empty for an image without text.

    Args:
        ids: N ids.
        predictions: (N,) boxes (p, 9), or polygons (P, V, 2) as in a target.
        sizes: (N, 2) height and width of each image in pixels, the unit of the coordinates.

    Raises:
        DataError: a number of columns other than two.
    """
    if len(columns) != 2:
        wanted = f"an id and the polygons, not {', '.join(columns)}"
        raise DataError([f"a submission of text_detection has two columns, {wanted}"])
    rows = [
        "|".join(_text(polygon * (width, height)) for polygon in _polygons(boxes))
        for boxes, (height, width) in zip(predictions, sizes, strict=True)
    ]
    return pd.DataFrame({columns[0]: list(ids), columns[1]: pd.Series(rows, dtype=object)})


def prediction_frame(scores: Iterable[npt.NDArray[Any]], predictions: npt.NDArray[Any], sizes: Sizes) -> pd.DataFrame:
    """Return a row an image.

    Columns: `label` ("text" or "none"), `score` of the best box, `score_text` (maximum of the map), number of `boxes`,
    their `polygons` as in a submission, and their `box_scores`, separated by bars.
    """
    submitted = submission_frame([""] * len(predictions), predictions, ("id", "polygons"), sizes)
    return pd.DataFrame(
        {
            "label": ["text" if len(boxes) else "none" for boxes in predictions],
            "score": [float(boxes[0, 8]) if len(boxes) else 0.0 for boxes in predictions],
            "score_text": [float(each.max()) for each in scores],
            "boxes": [len(boxes) for boxes in predictions],
            "polygons": submitted["polygons"],
            "box_scores": ["|".join(f"{score:.3f}" for score in boxes[:, 8]) for boxes in predictions],
        }
    )


def _polygons(boxes: npt.NDArray[Any]) -> list[Points]:
    """Return the polygons (V, 2) of one image's boxes (p, 9), or of its target (P, V, 2)."""
    return unpad(boxes) if boxes.ndim == 3 else list(np.asarray(boxes, dtype=np.float64)[:, :8].reshape(-1, 4, 2))


def _text(polygon: Points) -> str:
    return " ".join(f"{value:.1f}" for value in polygon.ravel())


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
