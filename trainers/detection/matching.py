"""Which boxes find which polygons: pairs by their overlap, and the most pairs that are one to one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

Array: TypeAlias = npt.NDArray[np.float64]

MIN_IOU = 0.5
"""A box finds a polygon where intersection over union is more than this."""


class Shapes(NamedTuple):
    """K polygons with their areas and bounding boxes."""

    polygons: npt.NDArray[Any]  # (K,) shapely's
    areas: Array  # (K,)
    bounds: Array  # (K, 4) least x and y, greatest x and y


def as_shapes(polygons: Sequence[npt.NDArray[np.floating]] | npt.NDArray[np.floating]) -> Shapes:
    """Shapes of K polygons (V, 2); of one that crosses itself, or has no area, its convex hull."""
    if not len(polygons):
        return Shapes(np.empty(0, dtype=object), np.zeros(0), np.zeros((0, 4)))
    made = shapely.polygons(polygons) if isinstance(polygons, np.ndarray) else _ragged(polygons)
    broken = ~shapely.is_valid(made)  # the library refuses to intersect them
    made[broken] = shapely.convex_hull(made[broken])
    return Shapes(made, shapely.area(made), shapely.bounds(made))


def _ragged(polygons: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[Any]:
    made = np.empty(len(polygons), dtype=object)
    made[:] = [shapely.Polygon(each) for each in polygons]
    return made


class Pairs(NamedTuple):
    """M boxes and polygons by their places, and the IoU of each pair; by box, then by polygon."""

    boxes: npt.NDArray[np.int64]
    polygons: npt.NDArray[np.int64]
    iou: Array


def overlaps(boxes: Shapes, polygons: Shapes, min_iou: float = MIN_IOU) -> Pairs:
    """Pairs with an IoU above `min_iou`.

    The intersection of bounding boxes is at least that of the shapes, and IoU > t needs more than t/(1 + t) of the
    areas' sum: so few pairs are looked at closely.
    """
    if not len(boxes.areas) or not len(polygons.areas):
        return Pairs(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0))
    low = np.maximum(boxes.bounds[:, None, :2], polygons.bounds[None, :, :2])
    high = np.minimum(boxes.bounds[:, None, 2:], polygons.bounds[None, :, 2:])
    at_most = np.prod((high - low).clip(0), axis=2)
    needed = min_iou / (1 + min_iou) * (boxes.areas[:, None] + polygons.areas[None])
    first, second = np.nonzero((at_most >= needed * (1 - 1e-9)) & (at_most > 0))
    shared = shapely.area(shapely.intersection(boxes.polygons[first], polygons.polygons[second]))
    union = boxes.areas[first] + polygons.areas[second] - shared
    iou = shared / np.maximum(union, 1e-300)
    close = iou > min_iou
    return Pairs(first[close], second[close], iou[close])


def quad_overlaps(quads: Array, polygons: Shapes, min_iou: float = MIN_IOU) -> Pairs:
    """As :func:`overlaps`, of boxes (p, 4, 2); those too small for any polygon, mostly noise, are looked at no further.

    IoU > t needs an area of more than t times the polygon's, and a box has at most that of its bounds.
    """
    at_most = np.prod(quads.max(axis=1) - quads.min(axis=1), axis=1)
    near = np.flatnonzero(at_most >= min_iou * polygons.areas.min(initial=np.inf) * (1 - 1e-9))
    pairs = overlaps(as_shapes(quads[near]), polygons, min_iou)
    return pairs._replace(boxes=near[pairs.boxes])


def hits_in_order(pairs: Pairs, boxes: int) -> npt.NDArray[np.bool_]:
    """(boxes,) whether each box raises the size of the largest one-to-one matching of the boxes up to it.

    So the sum over any beginning of the boxes is the size of their own largest matching (Kuhn's algorithm: a box
    that finds no augmenting path now will never find one, and a matched one stays matched).
    """
    hits = np.zeros(boxes, dtype=np.bool_)
    neighbours, owner = _neighbours(pairs), dict[int, int]()
    for box in neighbours:
        hits[box] = _claim(box, neighbours, owner, set())
    return hits


def match(boxes: npt.NDArray[np.floating], polygons: Sequence[npt.NDArray[np.floating]]) -> dict[int, int]:
    """A largest one-to-one matching, box by its polygon, of boxes (p, 4, 2) and polygons (V, 2)."""
    neighbours, owner = _neighbours(overlaps(as_shapes(boxes), as_shapes(polygons))), dict[int, int]()
    for box in neighbours:
        _claim(box, neighbours, owner, set())
    return owner


def _neighbours(pairs: Pairs) -> dict[int, list[int]]:
    """Polygons of each box that has any, in the order of the boxes."""
    found: dict[int, list[int]] = {}
    for box, polygon in zip(pairs.boxes.tolist(), pairs.polygons.tolist(), strict=True):
        found.setdefault(box, []).append(polygon)
    return found


def _claim(box: int, neighbours: dict[int, list[int]], owner: dict[int, int], seen: set[int]) -> bool:
    """Match the box, moving others to further polygons where needed."""
    for polygon in neighbours[box]:
        if polygon in seen:
            continue
        seen.add(polygon)
        if polygon not in owner or _claim(owner[polygon], neighbours, owner, seen):
            owner[polygon] = box
            return True
    return False
