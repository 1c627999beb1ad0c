"""The loss of differentiable binarization (Liao et al. 2020, eq. 6), one value an image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldtune.trainers.components import number
from foldtune.trainers.deferred import functional as F
from foldtune.trainers.deferred import torch
from foldtune.trainers.losses.registry import SPATIAL, Loss

if TYPE_CHECKING:
    from torch import Tensor

STEEPNESS = 50.0
"""k of the approximate binary map 1/(1 + exp(-k(P - T)))."""
NEGATIVES = 3.0
"""Number of the hardest pixels without text that count, for each pixel with text."""
MIN_NEGATIVE_SHARE = 0.01
"""Smallest share of all pixels that count as negatives, so that an image without text teaches, too."""


@dataclass(frozen=True)
class DBLoss(Loss, name="db", needs=SPATIAL):
    """``bce``·BCE of text with hard negatives + ``border``·L1 of the threshold + ``binary``·Dice of the binary map.

    Logits (B, 2, H, W) of text and threshold of any float type, and collated maps (each (B, H, W)), to (B,) float32.
    Liao et al. (2020) have the weights 1, 10 and 1 (in their code 5, 10 and 1).
    """

    bce: float = number(1.0, 0.0, 100.0, open_low=True)
    border: float = number(10.0, 0.0, 100.0)
    binary: float = number(1.0, 0.0, 100.0)

    def __call__(self, logits: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            text, threshold = logits[:, 0], logits[:, 1].sigmoid()
            counted = maps["counted"].float()
            targets = maps["text"].float() * counted
            binary = (STEEPNESS * (text.sigmoid() - threshold)).sigmoid()
            return (
                self.bce * balanced_bce(text, targets, counted)
                + self.border * masked_l1(threshold, maps["threshold"].float(), maps["border"].float())
                + self.binary * dice(binary, targets, counted)
            )


def balanced_bce(logits: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """(B,) mean cross entropy of all text pixels and of the hardest others, NEGATIVES times as many."""
    losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    positive = targets.flatten(1)
    negative = (counted * (1 - targets)).flatten(1)
    losses = losses.flatten(1)
    others = losses * negative
    pixels = losses.shape[1]
    number = positive.sum(1)
    room = negative.sum(1)
    kept = torch.minimum(room, torch.clamp(NEGATIVES * number, min=MIN_NEGATIVE_SHARE * pixels).floor())
    # Image by image, since a sum needs no order: sorting a hundred thousand pixels would take most of the time.
    hardest = [
        image.topk(most, sorted=False).values.sum() for image, most in zip(others, kept.int().tolist(), strict=True)
    ]
    return ((losses * positive).sum(1) + torch.stack(hardest)) / (number + kept).clamp(min=1)


def masked_l1(values: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
    """(B,) mean absolute difference where the mask is 1; 0 where it is nowhere."""
    return ((values - targets).abs() * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)


def dice(values: Tensor, targets: Tensor, counted: Tensor) -> Tensor:
    """(B,) 1 - 2|A∩B|/(|A| + |B|) of the pixels that count; 0 for an image without text."""
    values = (values * counted).flatten(1)
    targets = targets.flatten(1)
    text = targets.sum(1)
    overlap = (values * targets).sum(1)
    return torch.where(text > 0, 1 - 2 * overlap / (values.sum(1) + text + 1e-6), 0.0 * overlap)
