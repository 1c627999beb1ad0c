"""Every combination of box settings on stored maps, nearly for the price of a few.

For each `thresh` the regions of a map are found once, for each `unclip_ratio` they are grown and matched once; what
`box_thresh` and `max_candidates` keep is a beginning of the regions in the order of their scores, so cumulated counts
give all of these.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.trainers.detection.matching import as_shapes, hits_in_order, quad_overlaps
from foldtune.trainers.detection.metric import Counts
from foldtune.trainers.detection.polygons import unpad
from foldtune.trainers.detection.postprocess import BoxSettings, Map, find_regions, grow
from foldtune.trainers.detection.rectangles import EXACT

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Curves: TypeAlias = npt.NDArray[np.integer[Any]]

_REMEMBERED = 16_384  # a few kB each


@dataclass(frozen=True)
class Grid:
    """Values of each setting; a sweep tries all combinations."""

    thresh: tuple[float, ...]
    box_thresh: tuple[float, ...]
    max_candidates: tuple[int, ...]
    unclip_ratio: tuple[float | str, ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of values: thresh, unclip_ratio, box_thresh, max_candidates."""
        return len(self.thresh), len(self.unclip_ratio), len(self.box_thresh), len(self.max_candidates)

    def settings(self) -> Iterator[BoxSettings]:
        """All combinations, in the order of a flattened array of `shape`."""
        for thresh, unclip, box, most in product(self.thresh, self.unclip_ratio, self.box_thresh, self.max_candidates):
            yield BoxSettings(thresh, box, most, unclip)


USUAL = Grid(
    thresh=(0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6),
    box_thresh=tuple(round(0.3 + 0.02 * step, 2) for step in range(31)),
    max_candidates=(1000,),
    unclip_ratio=(EXACT, 1.5, 2.0, 2.5, 3.0, 3.5),
)
"""1,674 combinations of the ranges that are usual; the default is among them."""


def curves(probabilities: Map, target: Floats, grid: Grid) -> Curves:
    """(2, *grid.shape) polygons found and boxes of one map (H, W) with every combination of the grid.

    Args:
        target: (P, V, 2) polygons as shares of width and height.
    """
    wanted = as_shapes(unpad(target))
    probabilities = np.asarray(probabilities, dtype=np.float32)
    counted = np.zeros((2, *grid.shape), dtype=np.int32)
    most = np.asarray(grid.max_candidates)
    for row, thresh in enumerate(grid.thresh):
        regions = find_regions(probabilities, thresh, min_score=min(grid.box_thresh), limit=int(most.max()))
        reached = len(regions.scores) - np.searchsorted(regions.scores[::-1], grid.box_thresh, side="left")
        kept = np.minimum(reached[:, None], most)
        size = (probabilities.shape[0], probabilities.shape[1])
        for column, unclip in enumerate(grid.unclip_ratio):
            quads, large = grow(regions, unclip, size)
            hits = hits_in_order(quad_overlaps(quads[large], wanted), int(large.sum()))
            found = np.zeros(len(large) + 1, dtype=np.int32)
            found[1:][large] = hits
            counted[0, row, column] = found.cumsum()[kept]
            counted[1, row, column] = np.concatenate([[0], large.cumsum()])[kept]
    return counted


class Memory:
    """Cache of the curves of maps: fits on overlapping rows use the same ones."""

    def __init__(self, most: int = _REMEMBERED) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Curves] = OrderedDict()

    def curves(self, probabilities: Map, target: Floats, grid: Grid) -> Curves:
        """As :func:`curves`."""
        key = _key(probabilities, target, grid)
        found = self._known.pop(key, None)
        if found is None:
            counted = curves(probabilities, target, grid)
            found = counted.astype(np.min_scalar_type(int(counted.max(initial=0))))
        self._known[key] = found
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return found


def _key(probabilities: Map, target: Floats, grid: Grid) -> bytes:
    digest = hashlib.blake2b(repr((grid, probabilities.shape, str(probabilities.dtype))).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(probabilities).data)
    digest.update(np.ascontiguousarray(target).data)
    return digest.digest()


def sweep(
    probabilities: Sequence[Map] | Map, targets: Floats, grid: Grid = USUAL, memory: Memory | None = None
) -> npt.NDArray[np.int64]:
    """(3, *grid.shape) polygons found, boxes and polygons of N maps (H, W) with every combination, summed.

    One map is looked at at a time, so that `probabilities` may be memory-mapped.
    """
    total = np.zeros((3, *grid.shape), dtype=np.int64)
    one = curves if memory is None else memory.curves
    for each, target in zip(probabilities, targets, strict=True):
        total[:2] += one(each, target, grid)
    total[2] = int((~np.isnan(targets[:, :, 0, 0])).sum())
    return total


def judge_each(probabilities: Sequence[Map] | Map, targets: Floats, settings: Sequence[BoxSettings]) -> list[Counts]:
    """Counts of N maps (H, W) with each of the settings, by a sweep over all combinations of their values."""
    grid = Grid(
        thresh=tuple(dict.fromkeys(each.thresh for each in settings)),
        box_thresh=tuple(dict.fromkeys(each.box_thresh for each in settings)),
        max_candidates=tuple(dict.fromkeys(each.max_candidates for each in settings)),
        unclip_ratio=tuple(dict.fromkeys(each.unclip_ratio for each in settings)),
    )
    place = {each: number for number, each in enumerate(grid.settings())}
    counted = sweep(probabilities, targets, grid).reshape(3, -1)
    return [Counts(*map(int, counted[:, place[each]])) for each in settings]


def best(counted: npt.NDArray[np.int64], grid: Grid, metric: str, default: BoxSettings) -> BoxSettings:
    """The combination that does best by a property of Counts; of equals the one nearest to the default.

    Args:
        counted: (3, ...) counts, the result of :func:`sweep`.
    """
    flat = counted.reshape(3, -1)
    values = np.array([getattr(Counts(*map(int, column)), metric) for column in flat.T])
    settings = list(grid.settings())
    top = np.flatnonzero(values >= values.max() - 1e-12)
    return min((settings[place] for place in top), key=lambda each: _distance(each, default))


def _distance(settings: BoxSettings, default: BoxSettings) -> tuple[bool, float, float]:
    """How far from the default: the rule of growing first, then the thresholds, then the rest."""
    ratio = 0.0 if isinstance(settings.unclip_ratio, str) else settings.unclip_ratio
    thresholds = abs(settings.thresh - default.thresh) + abs(settings.box_thresh - default.box_thresh)
    return settings.unclip_ratio != default.unclip_ratio, thresholds, abs(settings.max_candidates - 1000) + ratio
