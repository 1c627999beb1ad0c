"""Tables of images with labelled boxes, as JSON, and boxes written in all forms in which they are read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.data.readers.json_records import JsonForm
from foldtune.trainers.data.readers.source import ReadOptions, Source
from foldtune.trainers.detection.forms.coco import coco_text, is_coco, read_coco
from foldtune.trainers.detection.forms.icdar import icdar_zip
from foldtune.trainers.detection.forms.page import Page
from foldtune.trainers.detection.forms.ufo import is_ufo, read_ufo, ufo_text
from foldtune.trainers.detection.polygons import Points, repair
from foldtune.wording import shortened, unknown

_SHOWN = 5
FORM = '{"NAME.jpg": {"width": 480, "height": 960, "boxes": [{"points": [[x, y], …]}, …]}, …}'


class BoxesJson(JsonForm):
    """JSON of boxes by its suffix: of the form `FORM`, COCO or UFO."""

    own_target = "boxes"

    def source(self, path: Path, content: Any, options: ReadOptions) -> Source:
        if is_coco(content):
            return read_coco(path, content)
        return read_ufo(path, content) if is_ufo(content) else _own(path, content)


def _own(path: Path, images: Any) -> Source:
    """Return a row an image: columns image, width, height and boxes, each a list of mappings with `points`.

    Raises:
        DataError: not of the form `FORM`.
    """
    if not isinstance(images, dict) or not all(isinstance(each, dict) for each in images.values()):
        raise DataError([f"{path}: must be a mapping from image names to mappings, as in {FORM}; or COCO, or UFO"])
    keys = dict.fromkeys(["width", "height", *(key for each in images.values() for key in each)])
    columns = {key: pd.Series([each.get(key) for each in images.values()], dtype=object) for key in keys}
    return Source(pd.DataFrame({"image": pd.Series(list(images), dtype=str), **columns}), "boxes", id_column="image")


def boxes_text(pages: Sequence[Page]) -> str:
    """Return pages as JSON of the form `FORM`, boxes with scores."""
    images = {
        page.name: {
            "width": page.width,
            "height": page.height,
            "boxes": [
                {"points": corners, "score": round(score, 4)}
                for corners, score in zip(page.corners(), page.scores, strict=True)
            ],
        }
        for page in pages
    }
    return json.dumps(images, ensure_ascii=False)


class Labels(NamedTuple):
    """Polygons of each image in shares of its width and height, and the number of each kind of change."""

    polygons: list[list[Points]]
    notes: Counter[str]


def read_polygons(frame: pd.DataFrame, column: str, source: Path | str) -> Labels:
    """Return the polygons of every row, repaired as `foldtune.trainers.detection.polygons.repair` does.

    Raises:
        DataError: no such column; rows whose size or boxes are not of the form `FORM`.
    """
    missing = [name for name in (column, "width", "height") if name not in frame]
    if missing:
        names = [str(name) for name in frame.columns]
        raise DataError([f"{source}: {unknown('column', name, names)}" for name in missing])
    notes: Counter[str] = Counter()
    images: list[list[Points]] = []
    problems: list[str] = []
    first = frame.columns[0]
    for name, width, height, boxes in zip(frame[first], frame["width"], frame["height"], frame[column], strict=True):
        try:
            images.append(_polygons(boxes, _side("width", width), _side("height", height), notes))
        except ValueError as error:
            problems.append(f"{source}: image '{name}': {error}")
    if problems:
        more = len(problems) - _SHOWN
        raise DataError(problems[:_SHOWN] + ([f"{source}: and {more} more images like these"] if more > 0 else []))
    return Labels(images, notes)


def _side(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e6:
        raise ValueError(f"{name} must be a number of pixels, not {shortened(_shown(value))}")
    return float(value)


def _polygons(boxes: Any, width: float, height: float, notes: Counter[str]) -> list[Points]:
    if not isinstance(boxes, list):
        raise ValueError(f"boxes must be a list (empty where there is no text), not {shortened(_shown(boxes))}")
    kept = []
    for place, box in enumerate(boxes, start=1):
        polygon, changes = repair(_points(box, place), width, height)
        notes.update(changes)
        if polygon is not None:
            kept.append(polygon / (width, height))
    return kept


def _points(box: Any, place: int) -> Points:
    given = box.get("points") if isinstance(box, dict) else box
    try:
        points = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.empty(0)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"box {place} must have points [[x, y], …], not {shortened(_shown(given))}")
    return points


def _shown(value: Any) -> str:
    try:
        return repr(value)
    except (ValueError, RecursionError):  # an integer of thousands of digits, or very deep lists
        return f"a {type(value).__name__}"


SUFFIXES = MappingProxyType({"boxes": ".json", "coco": ".json", "ufo": ".json", "icdar": ".zip"})
"""Suffix of a file of boxes by its form, as `Source.form` has it; ICDAR's files go into a .zip."""


def boxes_bytes(form: str, pages: Sequence[Page], facts: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """Return pages in a form, one of `SUFFIXES`.

    Args:
        facts: `Source.facts` of the form that was read, such as COCO's numbers of images.
    """
    if form == "icdar":
        return icdar_zip(pages)
    if form == "coco":
        return coco_text(pages, facts).encode()
    return (ufo_text(pages) if form == "ufo" else boxes_text(pages)).encode()
