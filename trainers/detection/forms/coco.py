"""COCO JSON (Lin et al. 2014; the format of cocodataset.org): lists of images, annotations and categories."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from foldtune.errors import DataError
from foldtune.trainers.data.readers.source import Source
from foldtune.trainers.detection.forms.page import Page, labelled_source
from foldtune.wording import first_few, shortened

FORM = '{"images": [{"id": 1, "file_name": "NAME.jpg", …}], "annotations": [{"image_id": 1, "bbox": [x, y, w, h], …}]}'
_TEXT = {"id": 1, "name": "text"}


def is_coco(content: Any) -> bool:
    """Whether the content of a JSON file is COCO."""
    return isinstance(content, dict) and isinstance(content.get("images"), list)


def read_coco(path: Path, content: Mapping[str, Any]) -> Source:
    """Return a row an image; each annotation is a polygon: its segmentation, else its bounding box.

    Every category is text. Annotations of crowds (`iscrowd`) are left out, and counted.

    Raises:
        DataError: content that is not of the form `FORM`, images named twice, annotations of no image.
    """
    images, annotations = content["images"], content.get("annotations") or []
    if not isinstance(annotations, list) or not all(isinstance(each, dict) for each in [*images, *annotations]):
        raise DataError([f"{path}: is not COCO as in {FORM}"])
    lacking = [place for place, each in enumerate(images) if "id" not in each or not each.get("file_name")]
    if lacking:
        raise DataError([f"{path}: image {lacking[0] + 1} of the list has no id or no file_name, as in {FORM}"])
    twice = [key for key, times in Counter(str(each["id"]) for each in images).items() if times > 1]
    if twice:
        raise DataError([f"{path}: {len(twice)} ids of images are there more than once ({first_few(twice)})"])
    boxes = _boxes(path, {str(each["id"]) for each in images}, annotations)
    pages = [
        (str(each["file_name"]), each.get("width"), each.get("height"), boxes.get(str(each["id"]), []))
        for each in images
    ]
    left_out = sum(bool(each.get("iscrowd")) for each in annotations)
    ids = {str(each["file_name"]): each["id"] for each in images}
    categories = [each for each in content.get("categories") or [_TEXT] if isinstance(each, dict)]
    used = {str(each.get("category_id")) for each in annotations}
    named = [str(each.get("name", each.get("id"))) for each in categories if str(each.get("id")) in used]
    notes = [f"boxes of {len(named)} categories are all text: {first_few(named)}"] if len(named) > 1 else []
    return labelled_source(
        "coco", pages, left_out, notes=notes, facts={"ids": ids, "categories": categories[:1] or [_TEXT]}
    )


def _boxes(path: Path, ids: set[str], annotations: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    strange = [each.get("image_id") for each in annotations if str(each.get("image_id")) not in ids]
    if strange:
        raise DataError([f"{path}: {len(strange)} annotations are of no image in it (first: image_id {strange[0]!r})"])
    for place, each in enumerate(annotations, start=1):
        if each.get("iscrowd"):
            continue
        try:
            points = _points(each)
        except (TypeError, ValueError, KeyError, IndexError, OverflowError):
            given = shortened(repr({key: each.get(key) for key in ("bbox", "segmentation")}))
            raise DataError([f"{path}: annotation {place}: no bbox [x, y, w, h] or polygon in {given}"]) from None
        found.setdefault(str(each["image_id"]), []).append({"points": points})
    return found


def _points(annotation: Mapping[str, Any]) -> list[list[float]]:
    """Return the corners of an annotation; those of the hull where its polygon has several parts."""
    parts = annotation.get("segmentation")
    if isinstance(parts, list) and parts:
        lists = parts if isinstance(parts[0], list) else [parts]
        corners = [np.asarray(part, dtype=np.float64).reshape(-1, 2) for part in lists]
        if len(corners) == 1:
            return list(corners[0].tolist())
        if not all(np.isfinite(part).all() for part in corners):
            raise ValueError("corners that are no numbers")
        hull = shapely.MultiPoint(np.concatenate(corners)).convex_hull
        return [list(each) for each in shapely.get_coordinates(hull)[:-1].tolist()]
    x, y, width, height = (float(value) for value in annotation["bbox"])
    return [[x, y], [x + width, y], [x + width, y + height], [x, y + height]]


def coco_text(pages: Sequence[Page], facts: Mapping[str, Any]) -> str:
    """Return pages as COCO JSON, annotations with scores.

    Args:
        facts: ids of images and categories of the COCO that was read; images that it lacks are numbered behind its own.
    """
    known: Mapping[str, Any] = facts.get("ids", {})
    numbers = [each for each in known.values() if isinstance(each, int)]
    free = iter(range(max(numbers, default=0) + 1, max(numbers, default=0) + 1 + len(pages)))
    ids = [known[page.name] if page.name in known else next(free) for page in pages]
    category = (facts.get("categories") or [_TEXT])[0]
    images = [
        {"id": number, "file_name": page.name, "width": page.width, "height": page.height}
        for number, page in zip(ids, pages, strict=True)
    ]
    annotations: list[dict[str, Any]] = []
    for number, page in zip(ids, pages, strict=True):
        for corners, score in zip(page.corners(), page.scores, strict=True):
            points = np.asarray(corners)
            low, sides = points.min(axis=0), np.ptp(points, axis=0)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category.get("id", 1),
                    "bbox": np.round([*low, *sides], 1).tolist(),
                    "segmentation": [points.ravel().tolist()],
                    "area": round(float(shapely.Polygon(points).area), 1),
                    "iscrowd": 0,
                    "score": round(score, 4),
                }
            )
    return json.dumps({"images": images, "annotations": annotations, "categories": [category]}, ensure_ascii=False)
