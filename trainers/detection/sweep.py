"""Counts of every combination of box settings on stored maps.

For each `thresh` the regions of a map are found once, for each `unclip_ratio` they are grown and matched once; what
`box_thresh` and `max_candidates` keep is a beginning of the regions in the order of their scores, so cumulated counts
give all values of these two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import product
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.trainers.arrays.lazy import ArrayMemo
from foldtune.trainers.detection.metric import Counts, as_shapes, hits_in_order, quad_overlaps
from foldtune.trainers.detection.polygons import EXACT, unpad
from foldtune.trainers.detection.postprocess import BoxSettings, Map, find_regions, grow

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Curves: TypeAlias = npt.NDArray[np.integer[Any]]

MAX_CURVES = 16_384  # a few kB each


@dataclass(frozen=True)
class Grid:
    """Values of each setting, all of whose combinations are swept."""

    thresh: tuple[float, ...]
    box_thresh: tuple[float, ...]
    max_candidates: tuple[int, ...]
    unclip_ratio: tuple[float | str, ...]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of values: thresh, unclip_ratio, box_thresh, max_candidates."""
        return len(self.thresh), len(self.unclip_ratio), len(self.box_thresh), len(self.max_candidates)

    def settings(self) -> Iterator[BoxSettings]:
        """Yield all combinations, in the order of a flattened array of `shape`."""
        for thresh, unclip, box, most in product(self.thresh, self.unclip_ratio, self.box_thresh, self.max_candidates):
            yield BoxSettings(thresh, box, most, unclip)


DEFAULT_GRID = Grid(
    thresh=(0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6),
    box_thresh=tuple(round(0.3 + 0.02 * step, 2) for step in range(31)),
    max_candidates=(1000,),
    unclip_ratio=(EXACT, 1.5, 2.0, 2.5, 3.0, 3.5),
)
"""1,674 combinations of the usual values; the default is among them."""


def curves(probabilities: Map, target: Floats, grid: Grid) -> Curves:
    """Return (2, *grid.shape) the numbers of matched boxes and of boxes of one map with every combination.

    Args:
        probabilities: (H, W) in [0, 1].
        target: (P, V, 2) polygons in shares of width and height.
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


def _packed_curves(probabilities: Map, target: Floats, grid: Grid) -> Curves:
    """Return the curves in the smallest type that holds them."""
    counted = curves(probabilities, target, grid)
    return counted.astype(np.min_scalar_type(int(counted.max(initial=0))))


def sweep(
    probabilities: Sequence[Map] | Map,
    targets: Floats,
    grid: Grid = DEFAULT_GRID,
    memo: ArrayMemo[Curves] | None = None,
) -> npt.NDArray[np.int64]:
    """Return (3, *grid.shape) the summed numbers of matched boxes, boxes and polygons with every combination.

    One map is read at a time, so `probabilities` may be memory-mapped.

    Args:
        probabilities: N maps (H, W) in [0, 1].
        targets: (N, P, V, 2) polygons in shares of width and height.
        memo: curves of earlier sweeps, since fits on overlapping rows need the same ones again.
    """
    total = np.zeros((3, *grid.shape), dtype=np.int64)
    memo = memo or ArrayMemo(1)
    for each, target in zip(probabilities, targets, strict=True):
        total[:2] += memo.get(partial(_packed_curves, each, target, grid), np.asarray(each), target, options=grid)
    total[2] = int((~np.isnan(targets[:, :, 0, 0])).sum())
    return total


def count_each(probabilities: Sequence[Map] | Map, targets: Floats, settings: Sequence[BoxSettings]) -> list[Counts]:
    """Return the counts of N maps (H, W) with each setting, by a sweep over all combinations of their values."""
    names = (each.name for each in fields(Grid))
    grid = Grid(**{name: tuple(dict.fromkeys(getattr(each, name) for each in settings)) for name in names})
    place = {each: number for number, each in enumerate(grid.settings())}
    counted = sweep(probabilities, targets, grid).reshape(3, -1)
    return [Counts(*map(int, counted[:, place[each]])) for each in settings]


def best_settings(counted: npt.NDArray[np.int64], grid: Grid, metric: str, default: BoxSettings) -> BoxSettings:
    """Return the best combination; of equal ones the nearest to the default."""
    flat = counted.reshape(3, -1)
    values = np.array([getattr(Counts(*map(int, column)), metric) for column in flat.T])
    settings = list(grid.settings())
    top = np.flatnonzero(values >= values.max() - 1e-12)
    return min((settings[place] for place in top), key=lambda each: _distance(each, default))


def _distance(settings: BoxSettings, default: BoxSettings) -> tuple[bool, float, float]:
    """Return the distance from the default: the rule of growing first, then the thresholds, then the rest."""
    ratio = 0.0 if isinstance(settings.unclip_ratio, str) else settings.unclip_ratio
    thresholds = abs(settings.thresh - default.thresh) + abs(settings.box_thresh - default.box_thresh)
    return settings.unclip_ratio != default.unclip_ratio, thresholds, abs(settings.max_candidates - 1000) + ratio
