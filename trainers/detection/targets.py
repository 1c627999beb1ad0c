"""Target maps of an image's polygons: shrunk text, and its border (DBNet, Liao et al. 2020, section 3.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import shapely

from foldtune.trainers.detection.polygons import SHRINK_RATIO, Points, shrink_distance, unpad

Map: TypeAlias = npt.NDArray[np.float32]

MIN_SIDE = 8.0
"""Minimum height of a text in pixels: thinner text is ignored in training, since its shrunk form has no height left."""
MIN_THRESHOLD, MAX_THRESHOLD = 0.3, 0.7
"""Values of the threshold map: far from the border of a text, and on it."""


@dataclass(frozen=True)
class Maps:
    """Target maps of an image, each (H, W) float32.

    Attributes:
        text: 1 in the shrunk polygons.
        counted: 1 where `text` is in the loss: not in text that is too thin.
        threshold: MIN_THRESHOLD to MAX_THRESHOLD, by the distance to the nearest border.
        border: 1 where `threshold` is in the loss: near a border.
    """

    text: Map
    counted: Map
    threshold: Map
    border: Map


def draw_maps(target: npt.NDArray[np.floating], size: tuple[int, int]) -> Maps:
    """Return the maps at `size` (height, width) of polygons (P, V, 2) in shares of width and height."""
    maps = Maps(*(np.full(size, fill, dtype=np.float32) for fill in (0, 1, 0, 0)))
    shapes = _Shapes.of(target, size)
    for points, distance, inner in zip(shapes.points, shapes.distances, shapes.shrunk, strict=True):
        if not inner or not _is_counted(points):
            _fill(maps.counted, points, 0.0)
            continue
        for each in inner:
            _fill(maps.text, each, 1.0)
        _draw_border(maps, points, max(distance, 1.0))
    maps.threshold[:] = MIN_THRESHOLD + (MAX_THRESHOLD - MIN_THRESHOLD) * maps.threshold
    return maps


def draw_text(target: npt.NDArray[np.floating], size: tuple[int, int]) -> Map:
    """Return the map of shrunk polygons alone, of any height; arguments are those of `draw_maps`."""
    text = np.zeros(size, dtype=np.float32)
    for inner in _Shapes.of(target, size).shrunk:
        for each in inner:
            _fill(text, each, 1.0)
    return text


class _Shapes(NamedTuple):
    """An image's polygons in pixels: corners (V, 2) of each, its shrink distance, and the shrunk parts.

    A polygon with a waist leaves several parts, a very thin one none.
    """

    points: list[Points]
    distances: list[float]
    shrunk: list[list[Points]]

    @classmethod
    def of(cls, target: npt.NDArray[np.floating], size: tuple[int, int]) -> _Shapes:
        points = [shares * (size[1], size[0]) for shares in unpad(target)]
        polygons = [shapely.Polygon(each) for each in points]
        distances = [shrink_distance(each.area, each.length, SHRINK_RATIO) for each in polygons]
        shrunk = shapely.buffer(polygons, -np.asarray(distances), join_style="mitre")
        return cls(points, distances, [_parts(each) for each in shrunk])


def _parts(shape: shapely.Geometry) -> list[Points]:
    parts = [part for part in shapely.get_parts(shape) if isinstance(part, shapely.Polygon) and not part.is_empty]
    return [shapely.get_coordinates(part.exterior)[:-1] for part in parts]


def _is_counted(points: Points) -> bool:
    (_, (width, height), _) = cv2.minAreaRect(points.astype(np.float32))
    return min(width, height) >= MIN_SIDE


def _fill(canvas: Map, points: Points, value: float) -> None:
    cv2.fillPoly(canvas, [_pixels(points)], value)


def _pixels(points: Points) -> npt.NDArray[np.int32]:
    """Return the pixels of corners; contours of the filled polygon give the same corners back."""
    return np.rint(points - 0.5).astype(np.int32)


def _draw_border(maps: Maps, points: Points, distance: float) -> None:
    """Add one text's border: 1 on the polygon's sides, falling to 0 at `distance` pixels from them."""
    pixels, margin = _pixels(points), math.ceil(distance)
    low, high = pixels.min(axis=0) - margin, pixels.max(axis=0) + margin + 1
    patch = np.ones((high - low)[::-1], dtype=np.uint8)
    cv2.polylines(patch, [pixels - low], True, 0)
    nearness = 1 - cv2.distanceTransform(patch, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / distance
    height, width = maps.text.shape
    start, stop = low.clip(0), high.clip(None, (width, height))
    if (stop <= start).any():
        return
    window = (slice(start[1], stop[1]), slice(start[0], stop[0]))
    nearness = nearness[start[1] - low[1] : stop[1] - low[1], start[0] - low[0] : stop[0] - low[0]]
    near = nearness > 0
    maps.border[window][near] = 1.0
    np.maximum(maps.threshold[window], nearness, out=maps.threshold[window], where=near)
