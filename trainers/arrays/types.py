"""Type names of the arrays in the task protocol, and their shapes for each task.

Code that relies on the protocol alone may use two properties: the first axis is the row (one image), and fancy
indexing by rows selects. Scores may be ``trainers.arrays.lazy.LazyRows``, which have both properties and compute one
row at a time: join, stack and average scores with ``trainers.arrays.lazy`` and ``trainers.arrays.voting``. Shapes:

multiclass
    targets (N,) int; logits (N, C); scores (N, C), rows sum to 1; predictions (N,) int.
binary
    targets (N,) int 0/1; logits (N, 1); scores (N,) in [0, 1]; predictions (N,) int 0/1.
multilabel
    targets (N, L) int 0/1; logits (N, L); scores (N, L) in [0, 1]; predictions (N, L) int 0/1.
ordinal
    targets (N,) int; logits (N, K), whatever the loss (in training mode a model returns what its loss takes,
    which may be K-1 wide); scores (N, K), rows sum to 1; predictions (N,) int, the expected level cut at
    K-1 points.
text detection
    targets (N, P, V, 2) float, corners as shares of width and height, padded with NaN to P polygons;
    logits (N, 1, H, W), kept as probabilities in a byte each; scores (N, H, W) LazyRows of float16 in [0, 1];
    predictions (N,) object, for each image an array (p, 9) of four corners and a score.

Targets, logits and scores are stored without pickle, so they are plain numeric arrays, padded where rows
differ in size. Predictions are never stored but computed from scores, so theirs may be objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Mode: TypeAlias = Literal["max", "min"]
Targets: TypeAlias = npt.NDArray[Any]
Scores: TypeAlias = npt.NDArray[Any]
Predictions: TypeAlias = npt.NDArray[Any]
Postprocess: TypeAlias = Mapping[str, Any]
Ids: TypeAlias = npt.NDArray[np.str_]


class Annotation(NamedTuple):
    """A drawable region of an image: a polygon (V, 2) in shares of width and height, a caption and a kind.

    Kinds: a prediction without labels is "found", one with labels a "hit" or a "false alarm"; a missed target "miss".
    """

    polygon: npt.NDArray[np.float64]
    caption: str
    kind: Literal["found", "hit", "miss", "false alarm"]
