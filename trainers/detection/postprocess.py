"""Boxes from a map of probabilities (DBNet, Liao et al. 2020, section 3.4), and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from foldtune.errors import Problem
from foldtune.trainers.components import number, value_problems
from foldtune.trainers.detection.polygons import EXACT, Array, corners, grow_distance, in_order
from foldtune.wording import unknown

Map: TypeAlias = npt.NDArray[np.floating[Any]]

MIN_SIDE = 3.0
"""Minimum shorter side of a box, in pixels of the map."""


@dataclass(frozen=True)
class BoxSettings:
    """Settings of the conversion of a map to boxes.

    Attributes:
        thresh: probability in [0, 1) above which a pixel is text.
        box_thresh: minimum score in [0, 1] of a box, the mean of its pixels.
        max_candidates: maximum number of regions in an image, those with the highest scores.
        unclip_ratio: growth of a region, in multiples of area over perimeter; EXACT undoes the shrinking.
    """

    thresh: float = number(0.3, 0.0, 1.0, open_high=True)
    box_thresh: float = number(0.6, 0.0, 1.0)
    max_candidates: int = number(1000, 1, 100_000)
    unclip_ratio: float | str = field(default=EXACT, metadata=number(1.5, 0.0, 20.0).metadata)

    @classmethod
    def of(cls, postprocess: Mapping[str, Any] | None) -> BoxSettings:
        """Return the settings of a checked mapping; absent keys are at their defaults."""
        given = dict(postprocess or {})
        if "max_candidates" in given:
            given["max_candidates"] = int(given["max_candidates"])
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able values of every key."""
        return asdict(self)


def check_box_settings(postprocess: Mapping[str, Any]) -> list[Problem]:
    """Return the problems of a mapping of box settings; paths begin with ``postprocess``."""
    problems = []
    known = {each.name: each for each in fields(BoxSettings)}
    for name, value in postprocess.items():
        path = f"postprocess.{name}"
        if name not in known:
            problems.append(Problem(path, unknown("post-processing", str(name), known)))
        elif not (name == "unclip_ratio" and value == EXACT):
            kind = int if name == "max_candidates" else float
            whole = kind is int and isinstance(value, float) and value.is_integer()  # as a command line gives it
            exact = f" (or {EXACT})" if name == "unclip_ratio" else ""
            found = value_problems(path, int(value) if whole else value, kind, known[name].metadata)
            problems += [Problem(path, f"{problem.message}{exact}") for problem in found]
    return problems


class Regions(NamedTuple):
    """Connected regions of a map, as rotated rectangles, those with the highest scores first.

    Units are pixels of the map; pixel i extends from i to i + 1.
    """

    centres: Array  # (K, 2) x and y
    sizes: Array  # (K, 2) width and height
    angles: Array  # (K,) degrees, clockwise
    scores: Array  # (K,)


def find_regions(probabilities: Map, thresh: float, *, min_score: float = 0.0, limit: int | None = None) -> Regions:
    """Return the regions above a threshold, in the order of their scores (means of their pixels), then areas.

    OpenCV's own order is that of the position on the page, by which a limit would cut.

    Args:
        probabilities: (H, W) in [0, 1].
        min_score: minimum score of a region; no rectangle is fitted to others (an early map has thousands).
        limit: maximum number of regions, those with the highest scores.
    """
    probabilities = np.asarray(probabilities, dtype=np.float32)
    above = (probabilities > thresh).astype(np.uint8)
    count, labels = cv2.connectedComponents(above, connectivity=8, ltype=cv2.CV_32S)
    if count < 2:
        return Regions(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros(0))
    pixels = np.flatnonzero(above)
    of_pixel = labels.ravel()[pixels]
    sums = np.bincount(of_pixel, weights=probabilities.ravel()[pixels], minlength=count)[1:]
    areas = np.bincount(of_pixel, minlength=count)[1:]
    scores = np.asarray(sums / areas)
    order = np.lexsort((-areas, -scores))
    order = order[scores[order] >= min_score][:limit]
    row_of_label = np.full(count, -1)
    row_of_label[order + 1] = np.arange(len(order))
    rectangles = np.zeros((len(order), 5))
    contours, hierarchy = cv2.findContours(above, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    for contour, (_, _, _, parent) in zip(contours, hierarchy[0], strict=True):
        if parent >= 0:  # the edge of a hole
            continue
        x, y = contour[0, 0]
        row = row_of_label[labels[y, x]]
        if row >= 0:
            (left, top), (width, height), angle = cv2.minAreaRect(contour)
            rectangles[row] = left + 0.5, top + 0.5, width, height, angle
    # Corners are centres of pixels, as they were drawn; a line of pixels has a height of one.
    return Regions(rectangles[:, :2], np.maximum(rectangles[:, 2:4], 1.0), rectangles[:, 4], scores[order])


def grow(regions: Regions, unclip_ratio: float | str, size: tuple[int, int]) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Return boxes (K, 4, 2) in shares of width and height, within the image, and the mask (K,) of large enough ones.

    Args:
        unclip_ratio: growth, as in `BoxSettings`.
        size: (height, width) of the map.
    """
    distance = grow_distance(regions.sizes, unclip_ratio)
    sizes = regions.sizes + 2 * distance[:, None]
    quads = corners(regions.centres, sizes, regions.angles) / (size[1], size[0])
    return quads.clip(0.0, 1.0), sizes.min(axis=1, initial=np.inf) >= MIN_SIDE


def find_boxes(probabilities: Map, settings: BoxSettings) -> Array:
    """Return the boxes (p, 9) of a map (H, W), best first: corners in shares of width and height, and the score."""
    regions = find_regions(probabilities, settings.thresh, min_score=settings.box_thresh, limit=settings.max_candidates)
    quads, large = grow(regions, settings.unclip_ratio, (probabilities.shape[0], probabilities.shape[1]))
    return in_order(np.concatenate([quads.reshape(-1, 8), regions.scores[:, None]], axis=1)[large])
