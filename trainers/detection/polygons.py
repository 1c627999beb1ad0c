"""Labelled polygons: repair of invalid ones, and padding to one array."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

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
        height: height of the image in pixels.
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
