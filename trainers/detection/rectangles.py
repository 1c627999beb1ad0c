"""Rotated rectangles: shrinking of text, growth of boxes, canonical order of corners."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

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


def grow_distance(sizes: Array, unclip_ratio: float | str, ratio: float = SHRINK_RATIO) -> Array:
    """Return how far (K,) the sides of shrunk rectangles (K, 2), each width and height, move outwards, in pixels.

    A number is DBNet's rule, A·unclip_ratio/L of the shrunk rectangle. EXACT undoes `shrink_distance`: with
    q = 1 - r² and D = qWH/(2(W + H)), W = w + 2D and H = h + 2D make it (8 - 4q)D² + 2(1 - q)(w + h)D = qwh.
    """
    width, height = sizes[:, 0], sizes[:, 1]
    total, area = width + height, width * height
    if unclip_ratio == EXACT:
        q = 1 - ratio * ratio
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
