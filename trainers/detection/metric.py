"""Boxes and labelled polygons matched one to one by IoU, counts over all images, and the vote of several detectors."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import shapely

from foldtune.trainers.arrays.lazy import ArrayMemo
from foldtune.trainers.detection.polygons import count_polygons, in_order, unpad
from foldtune.trainers.detection.targets import draw_text

Array: TypeAlias = npt.NDArray[np.float64]

MIN_IOU = 0.5
"""A box may match a polygon where their IoU is greater."""


class Shapes(NamedTuple):
    """K polygons with their areas and bounds."""

    polygons: npt.NDArray[Any]  # (K,) shapely geometries
    areas: Array  # (K,)
    bounds: Array  # (K, 4) minimum x and y, maximum x and y


def as_shapes(polygons: Sequence[npt.NDArray[np.floating]] | npt.NDArray[np.floating]) -> Shapes:
    """Return K polygons (V, 2) as shapes; one that crosses itself, or has no area, as its convex hull."""
    if not len(polygons):
        return Shapes(np.empty(0, dtype=object), np.zeros(0), np.zeros((0, 4)))
    shapes = shapely.polygons(polygons) if isinstance(polygons, np.ndarray) else _ragged(polygons)
    broken = ~shapely.is_valid(shapes)  # the library refuses to intersect them
    shapes[broken] = shapely.convex_hull(shapes[broken])
    return Shapes(shapes, shapely.area(shapes), shapely.bounds(shapes))


def _ragged(polygons: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[Any]:
    shapes = np.empty(len(polygons), dtype=object)
    shapes[:] = [shapely.Polygon(each) for each in polygons]
    return shapes


class Pairs(NamedTuple):
    """M pairs of a box and a polygon, in the order of the boxes, then of the polygons."""

    boxes: npt.NDArray[np.int64]  # (M,) indices
    polygons: npt.NDArray[np.int64]  # (M,) indices
    iou: Array  # (M,)


def overlaps(boxes: Shapes, polygons: Shapes, min_iou: float = MIN_IOU) -> Pairs:
    """Return the pairs with an IoU above `min_iou`.

    A tree finds the pairs whose bounds intersect. The intersection of the bounds is at least that of the shapes, and
    IoU > t needs an intersection of more than t/(1 + t) of the areas' sum: only such pairs are intersected.
    """
    box, polygon = shapely.STRtree(polygons.polygons).query(boxes.polygons)
    low = np.maximum(boxes.bounds[box, :2], polygons.bounds[polygon, :2])
    high = np.minimum(boxes.bounds[box, 2:], polygons.bounds[polygon, 2:])
    areas = boxes.areas[box] + polygons.areas[polygon]
    possible = np.prod((high - low).clip(0), axis=1) >= min_iou / (1 + min_iou) * areas * (1 - 1e-9)
    box, polygon, areas = box[possible], polygon[possible], areas[possible]
    shared = shapely.area(shapely.intersection(boxes.polygons[box], polygons.polygons[polygon]))
    iou = shared / np.maximum(areas - shared, 1e-300)
    near = np.flatnonzero(iou > min_iou)
    near = near[np.lexsort((polygon[near], box[near]))]
    return Pairs(box[near], polygon[near], iou[near])


def quad_overlaps(quads: Array, polygons: Shapes) -> Pairs:
    """Return the pairs of `overlaps` for boxes (p, 4, 2); boxes too small for any polygon are skipped.

    IoU > t needs an area of more than t times the polygon's, and a box has at most that of its bounds. In early maps
    most boxes are such noise.
    """
    max_areas = np.prod(quads.max(axis=1) - quads.min(axis=1), axis=1)
    large = np.flatnonzero(max_areas >= MIN_IOU * polygons.areas.min(initial=np.inf) * (1 - 1e-9))
    pairs = overlaps(as_shapes(quads[large]), polygons)
    return pairs._replace(boxes=large[pairs.boxes])


def hits_in_order(pairs: Pairs, boxes: int) -> npt.NDArray[np.bool_]:
    """Return for each of `boxes` boxes whether it raises the size of the largest matching of the boxes up to it.

    So the sum over the first k boxes is the size of their own largest matching, for each k.
    """
    hits = np.zeros(boxes, dtype=np.bool_)
    hits[list(_matching(pairs).values())] = True
    return hits


def match(boxes: npt.NDArray[np.floating], polygons: Sequence[npt.NDArray[np.floating]]) -> dict[int, int]:
    """Return a largest one-to-one matching, box by polygon, of boxes (p, 4, 2) and polygons (V, 2).

    >>> square = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> match(np.array([square + 5, square + 0.1]), [square])
    {0: 1}
    """
    return _matching(overlaps(as_shapes(boxes), as_shapes(polygons)))


def _matching(pairs: Pairs) -> dict[int, int]:
    """Return a largest matching, box by polygon, that prefers earlier boxes (Kuhn 1955, augmenting paths).

    A box that finds no augmenting path when its turn comes never finds one, and a matched box stays matched: so the
    matched boxes are those that raise the size of the matching. scipy's maximum_bipartite_matching has no such order,
    and takes longer on pages of up to 200 polygons (40 x 40: 0.17 ms, this 0.02 ms).
    """
    neighbours: dict[int, list[int]] = {}
    for box, polygon in zip(pairs.boxes.tolist(), pairs.polygons.tolist(), strict=True):
        neighbours.setdefault(box, []).append(polygon)
    owner: dict[int, int] = {}
    for box in neighbours:
        _augment(box, neighbours, owner, set())
    return owner


def _augment(box: int, neighbours: dict[int, list[int]], owner: dict[int, int], visited: set[int]) -> bool:
    """Match the box, moving others to further polygons where needed; return whether that is possible."""
    for polygon in neighbours[box]:
        if polygon in visited:
            continue
        visited.add(polygon)
        if polygon not in owner or _augment(owner[polygon], neighbours, owner, visited):
            owner[polygon] = box
            return True
    return False


Floats: TypeAlias = npt.NDArray[np.floating[Any]]

STEP = 4
"""Stride of the grid of pixels on which the loss is computed, as it is after each epoch."""
_MIN_PROBABILITY = 1e-3  # probabilities are stored in 255ths
_FOUND: ArrayMemo[int] = ArrayMemo(20_000)  # a bootstrap counts the same images again and again


class Counts(NamedTuple):
    """Numbers of matched boxes, boxes and polygons; those of several images add up."""

    found: int
    boxes: int
    polygons: int

    @property
    def precision(self) -> float:
        """Share of boxes that are matched; 0 without a box."""
        return self.found / self.boxes if self.boxes else 0.0

    @property
    def recall(self) -> float:
        """Share of polygons that are matched; 0 without a polygon."""
        return self.found / self.polygons if self.polygons else 0.0

    @property
    def hmean(self) -> float:
        """Harmonic mean of precision and recall; 0 without box and polygon."""
        total = self.boxes + self.polygons
        return 2 * self.found / total if total else 0.0

    def figures(self) -> dict[str, float]:
        """Return H-mean, precision and recall by their names."""
        return {"hmean": self.hmean, "precision": self.precision, "recall": self.recall}


def count(predictions: Sequence[Floats] | npt.NDArray[Any], targets: Floats) -> Counts:
    """Return the counts of N images.

    Args:
        predictions: N arrays of boxes (p, 9) or (p, 8), in shares of width and height.
        targets: (N, P, V, 2) labelled polygons, in shares of width and height.
    """
    found = boxes = 0
    for predicted, target in zip(predictions, targets, strict=True):
        quads = np.asarray(predicted, dtype=np.float64)[:, :8].reshape(-1, 4, 2)
        found += _FOUND.get(partial(_count_found, quads, target), quads, target)
        boxes += len(quads)
    return Counts(found, boxes, int(count_polygons(targets).sum()))


def _count_found(quads: Floats, target: Floats) -> int:
    return len(match(quads, unpad(target)))


def map_loss(probabilities: Sequence[Floats] | Floats, targets: Floats) -> float:
    """Return the mean cross entropy of N maps (H, W) and the shrunk polygons of targets (N, P, V, 2).

    It is computed on every `STEP`-th pixel each way.
    """
    total = 0.0
    for each, target in zip(probabilities, targets, strict=True):
        text = draw_text(target, (each.shape[0], each.shape[1]))[::STEP, ::STEP]
        seen = np.asarray(each[::STEP, ::STEP], dtype=np.float64).clip(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
        total -= float(np.log(np.where(text > 0, seen, 1 - seen)).mean())
    return total / len(targets)


CLUSTER_IOU = 0.5
"""Minimum IoU with a cluster's best box of another member's box in the cluster."""


def vote_boxes(members: Sequence[npt.NDArray[np.floating[Any]]], min_votes: int | None = None) -> Array:
    """Return the fused boxes (p, 9) of one image, best first.

    The best remaining box starts a cluster, which takes from each other member the box that overlaps it most. Each
    member in a cluster is a vote. The fused box has the mean of the corners weighted by scores, and the mean score
    (weighted boxes fusion, Solovyev et al. 2021, for quadrilaterals). The order of the members does not matter.

    Args:
        members: M arrays of boxes (p_m, 9), corners in the order of `in_order`.
        min_votes: minimum votes of a cluster, 1 to M; None is more than half of the members.
    """
    needed = len(members) // 2 + 1 if min_votes is None else min_votes
    boxes = np.concatenate([np.asarray(each, dtype=np.float64).reshape(-1, 9) for each in members])
    owners = np.repeat(np.arange(len(members)), [len(each) for each in members])
    order = np.lexsort([*boxes[:, :8].T, -boxes[:, 8]])
    boxes, owners = boxes[order], owners[order]
    shapes = as_shapes(boxes[:, :8].reshape(-1, 4, 2))
    pairs = overlaps(shapes, shapes, CLUSTER_IOU - 1e-9)
    near: list[list[tuple[float, int]]] = [[] for _ in boxes]
    for one, other, iou in zip(pairs.boxes.tolist(), pairs.polygons.tolist(), pairs.iou.tolist(), strict=True):
        if owners[one] != owners[other]:
            near[one].append((-iou, other))
    free = np.ones(len(boxes), dtype=np.bool_)
    fused = []
    for seed in range(len(boxes)):
        if not free[seed]:
            continue
        cluster, voters = [seed], {int(owners[seed])}
        for _, other in sorted(near[seed]):  # by overlap, then by score
            if free[other] and int(owners[other]) not in voters:
                cluster.append(other)
                voters.add(int(owners[other]))
        free[cluster] = False
        if len(voters) >= needed:
            fused.append(_fuse(boxes[sorted(cluster)]))
    return in_order(np.array(fused).reshape(-1, 9))


def _fuse(boxes: Array) -> Array:
    """Return mean corners weighted by scores, and the mean score; exactly the box where all are equal."""
    first, weights = boxes[0], np.maximum(boxes[:, 8], 1e-9)
    shift = ((boxes - first) * weights[:, None]).sum(axis=0) / weights.sum()
    fused: Array = first + shift
    fused[8] = first[8] + (boxes[:, 8] - first[8]).mean()
    return fused
