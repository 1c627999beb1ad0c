"""Losses by name. Every loss maps (logits, targets) to one loss an image, without reduction.

The training takes the batch mean, so that micro-batches add up to the same gradient. A loss is one class in one of
these files; importing the package registers all of them and imports no torch.
"""

from foldtune.trainers.losses import differentiable_binarization, sigmoid, softmax
from foldtune.trainers.losses.registry import BINARY_LIKE, LOSSES, ONE_CLASS, ORDERED, SPATIAL, Loss, losses_for

__all__ = [
    "BINARY_LIKE",
    "LOSSES",
    "ONE_CLASS",
    "ORDERED",
    "SPATIAL",
    "Loss",
    "differentiable_binarization",
    "losses_for",
    "sigmoid",
    "softmax",
]
