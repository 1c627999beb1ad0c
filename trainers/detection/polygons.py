"""Labelled polygons and rotated rectangles: repair, padding, shrinking of text, growth of boxes, order of corners."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

Array: TypeAlias = npt.NDArray[np.float64]

SHRINK_RATIO = 0.4
EXACT = "exact"


def shrink_distance(area: float, perimeter: float, ratio: float = SHRINK_RATIO) -> float:
    """Return how far each side moves inwards: A(1 - r²)/L.

    Liao et al. 2020, "Real-time scene text detection with differentiable binarization", eq. 10.

    Args:
        area: A in square pixels.
        perimeter: L in pixels; 0 gives 0.
        ratio: r in (0, 1).

    >>> round(shrink_distance(area=200.0, perimeter=60.0), 6)
    2.8
    """
    return area * (1 - ratio * ratio) / perimeter if perimeter > 0 else 0.0


def grow_distance(sizes: Array, unclip_ratio: float | str) -> Array:
    """Return how far (K,) the sides of shrunk rectangles (K, 2), each width and height, move outwards, in pixels.

    A number is DBNet's rule, A·unclip_ratio/L of the shrunk rectangle. EXACT undoes `shrink_distance`: with
    q = 1 - r² and D = qWH/(2(W + H)), W = w + 2D and H = h + 2D make it (8 - 4q)D² + 2(1 - q)(w + h)D = qwh.
    """
    width, height = sizes[:, 0], sizes[:, 1]
    total, area = width + height, width * height
    if unclip_ratio == EXACT:
        q = 1 - SHRINK_RATIO**2
        a = 8 - 4 * q
        b = (1 - q) * total
        return np.asarray((np.sqrt(b * b + a * q * area) - b) / a)
    return np.asarray(area * float(unclip_ratio) / np.maximum(2 * total, 1e-9))


def corners(centres: Array, sizes: Array, angles: Array) -> Array:
    """Return the corners (K, 4, 2) of rectangles.

    Args:
        centres: (K, 2) x and y.
        sizes: (K, 2) width and height, before the rotation.
        angles: (K,) degrees, clockwise on the screen, as OpenCV's.
    """
    half = sizes[:, None, :] / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)
    turn = np.deg2rad(angles)[:, None]
    cos, sin = np.cos(turn), np.sin(turn)
    x = half[..., 0] * cos - half[..., 1] * sin
    y = half[..., 0] * sin + half[..., 1] * cos
    return np.stack([x, y], axis=-1) + centres[:, None, :]


def canonical(quads: npt.NDArray[np.floating]) -> Array:
    """Return the corners (K, 4, 2) clockwise on the screen, from the one with the lowest x + y (then x)."""
    given: Array = np.asarray(quads, dtype=np.float64)
    if not len(given):
        return given.reshape(0, 4, 2)
    around = given - given.mean(axis=1, keepdims=True)
    order = np.argsort(np.arctan2(around[..., 1], around[..., 0]), axis=1, kind="stable")
    turned: Array = np.take_along_axis(given, order[..., None], axis=1)
    sums = turned.sum(axis=2)
    first = np.where(sums <= sums.min(axis=1, keepdims=True) + 1e-9, turned[..., 0], np.inf).argmin(axis=1)
    places = (first[:, None] + np.arange(4)) % 4
    placed: Array = np.take_along_axis(turned, places[..., None], axis=1)
    return placed


def in_order(boxes: Array) -> Array:
    """Return boxes (p, 9) of corners and score with canonical corners, the best first, then by their corners."""
    boxes = np.concatenate([canonical(boxes[:, :8].reshape(-1, 4, 2)).reshape(-1, 8), boxes[:, 8:]], axis=1)
    return boxes[np.lexsort([*boxes[:, :8].T, -boxes[:, 8]])]


Points: TypeAlias = npt.NDArray[np.float64]

CUT = "cut at the image's edge"
CROSSING = "self-crossing, now their convex hull"
OUTSIDE = "left out: outside the image"
FLAT = "left out: less than one pixel of area"
FEW_POINTS = "left out: fewer than three points"

MIN_AREA = 1.0
"""Square pixels of the original image: a polygon of one whole pixel is kept."""


def repair(points: Points, width: float, height: float) -> tuple[Points | None, tuple[str, ...]]:
    """Return a simple polygon (V, 2) within the image, or None where nothing is left of it, and notes of the changes.

    Args:
        points: (V, 2) x and y in pixels of the original image, finite.
        width: width of the image in pixels; x = 0 and x = width are its edges.
    """
    if len(points) < 3:
        return None, (FEW_POINTS,)
    notes: list[str] = []
    shape = shapely.Polygon(points)
    if not shape.is_valid:
        # Mostly corners in the wrong order: their hull is the box that was meant.
        shape = shape.convex_hull
        if shape.area < MIN_AREA:
            return None, (FLAT,)
        notes.append(CROSSING)
    if shape.area < MIN_AREA:
        return None, (FLAT,)
    low, high = points.min(axis=0), points.max(axis=0)
    if (low < 0).any() or (high > (width, height)).any():
        shape = _largest(shape.intersection(shapely.box(0, 0, width, height)))
        if shape is None or shape.area < MIN_AREA:
            return None, (OUTSIDE,)
        notes.append(CUT)
    if not notes:
        return np.asarray(points, dtype=np.float64), ()
    return np.asarray(shape.exterior.coords, dtype=np.float64)[:-1], tuple(notes)


def _largest(shape: shapely.Geometry) -> shapely.Polygon | None:
    parts = [part for part in shapely.get_parts(shape) if isinstance(part, shapely.Polygon)]
    return max(parts, key=lambda part: part.area, default=None)


def pad(polygons: Sequence[Sequence[Points]]) -> Points:
    """Return N lists of polygons (V_i, 2) as one array (N, P, V, 2), padded with NaN."""
    most = max((len(image) for image in polygons), default=0)
    longest = max((len(each) for image in polygons for each in image), default=0)
    padded = np.full((len(polygons), max(most, 1), max(longest, 4), 2), np.nan)
    for row, image in enumerate(polygons):
        for place, each in enumerate(image):
            padded[row, place, : len(each)] = each
    return padded


def unpad(target: npt.NDArray[np.floating]) -> list[Points]:
    """Return the polygons (V_i, 2) of one image's target (P, V, 2); a NaN as the first corner is padding."""
    there = ~np.isnan(target[:, 0, 0])
    kept = np.asarray(target[there], dtype=np.float64)
    counts = (~np.isnan(kept[:, :, 0])).sum(axis=1)
    return [each[:count] for each, count in zip(kept, counts, strict=True)]


def count_polygons(targets: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return the number (N,) of polygons in each image of targets (N, P, V, 2)."""
    return np.asarray((~np.isnan(targets[:, :, 0, 0])).sum(axis=1), dtype=np.int64)


def balanced_bins(numbers: npt.NDArray[np.int64], bins: int, min_size: int) -> npt.NDArray[np.int64]:
    """Return the bin (N,), from 0, of each number (N,) by quantiles; a bin of fewer than `min_size` is merged."""
    edges = np.unique(np.quantile(numbers, np.linspace(0, 1, bins + 1)[1:-1]))
    places = np.searchsorted(edges, numbers, side="left")
    for each in range(len(edges), 0, -1):
        if (places == each).sum() < min_size:
            places[places == each] = each - 1
    if 0 < (places == 0).sum() < min_size and (places > 0).any():
        places[places == 0] = places[places > 0].min()
    return np.asarray(np.unique(places, return_inverse=True)[1], dtype=np.int64)


def summary(notes: Counter[str]) -> tuple[str, ...]:
    """Return a line for each kind of change, the most frequent first."""
    return tuple(f"{count} {'polygon' if count == 1 else 'polygons'} {note}" for note, count in notes.most_common())
