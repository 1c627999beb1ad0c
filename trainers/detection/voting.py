"""Vote of several detectors: boxes clustered by overlap, kept by votes, fused by scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.trainers.detection.matching import as_shapes, overlaps
from foldtune.trainers.detection.rectangles import in_order

Boxes: TypeAlias = npt.NDArray[np.float64]

CLUSTER_IOU = 0.5
"""Minimum IoU with a cluster's best box of another member's box in the cluster."""


def vote_boxes(members: Sequence[npt.NDArray[np.floating[Any]]], min_votes: int | None = None) -> Boxes:
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


def _fuse(boxes: Boxes) -> Boxes:
    """Return mean corners weighted by scores, and the mean score; exactly the box where all are equal."""
    first, weights = boxes[0], np.maximum(boxes[:, 8], 1e-9)
    shift = ((boxes - first) * weights[:, None]).sum(axis=0) / weights.sum()
    fused: Boxes = first + shift
    fused[8] = first[8] + (boxes[:, 8] - first[8]).mean()
    return fused
