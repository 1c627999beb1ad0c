"""Boxes of images between the forms: labelled ones that were read, and predicted ones to write."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.trainers.data.readers.source import Source
from foldtune.trainers.detection.polygons import Points, unpad


@dataclass(frozen=True, eq=False)
class Page:
    """An image with boxes to write.

    Attributes:
        name: its id, the file's name in most forms.
        height: pixels.
        width: pixels.
        polygons: corners (V, 2) each, x and y in pixels.
        scores: one a polygon, 0..1.
    """

    name: str
    height: int
    width: int
    polygons: tuple[Points, ...]
    scores: tuple[float, ...]

    def corners(self) -> list[list[list[float]]]:
        """Polygons as lists of [x, y], to a tenth of a pixel."""
        return [np.round(each, 1).tolist() for each in self.polygons]


def pages_of(names: Iterable[str], predictions: npt.NDArray[Any], sizes: npt.NDArray[np.int64]) -> list[Page]:
    """Return the pages of predictions.

    Args:
        names: N ids.
        predictions: (N,) boxes (p, 9) of corners in shares of the sides, and score; or polygons (P, V, 2).
        sizes: (N, 2) height and width of each image in pixels.
    """
    pages = []
    for name, boxes, (height, width) in zip(names, predictions, sizes.tolist(), strict=True):
        if boxes.ndim == 3:
            polygons, scores = unpad(boxes), []
        else:
            polygons, scores = list(boxes[:, :8].reshape(-1, 4, 2)), boxes[:, 8].tolist()
        scaled = tuple(np.asarray(each, dtype=np.float64) * (width, height) for each in polygons)
        pages.append(Page(str(name), height, width, scaled, tuple(scores or [1.0] * len(scaled))))
    return pages


def pages_of_table(frame: pd.DataFrame, names: Sequence[str], sizes: npt.NDArray[np.int64]) -> list[Page]:
    """Return the pages of a table of predictions (`trainers.detection.frames.prediction_frame`).

    Args:
        frame: N rows; one without a prediction is a page without boxes.
        names: N ids.
        sizes: (N, 2) height and width of each image in pixels.
    """
    pages = []
    cells = zip(names, frame["polygons"].fillna(""), frame["box_scores"].fillna(""), sizes.tolist(), strict=True)
    for name, text, scores, (height, width) in cells:
        polygons = tuple(np.array(each.split(), dtype=np.float64).reshape(-1, 2) for each in text.split("|") if each)
        pages.append(Page(name, height, width, polygons, tuple(float(each) for each in scores.split("|") if each)))
    return pages


UNREADABLE = "###"
"""Text of ICDAR and its relatives for a region that nobody could read, and that is not to be judged."""


def labelled_source(form: str, pages: Sequence[tuple[str, Any, Any, Any]], left_out: int, **facts: Any) -> Source:
    """Return labelled images as rows: columns image, width, height and boxes, the latter of any objects.

    Args:
        pages: name, width and height in pixels (None where the form does not state them), and a list of mappings with
            `points` of each image.
        left_out: number of regions that are marked as not to be judged.
        facts: further fields of `Source`.
    """
    columns = ("image", "width", "height", "boxes")
    frame = pd.DataFrame({name: pd.Series([page[k] for page in pages], dtype=object) for k, name in enumerate(columns)})
    regions = "1 region" if left_out == 1 else f"{left_out} regions"
    lines = [f"{regions} marked as unreadable left out"] if left_out else []
    notes = (*facts.pop("notes", ()), *lines)
    return Source(frame.astype({"image": "str"}), form, id_column="image", target_column="boxes", notes=notes, **facts)
