"""The loss of differentiable binarization (Liao et al. 2020, eq. 6), one value an image."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

STEEPNESS = 50.0
"""k of the approximate binary map 1/(1 + exp(-k(P - T)))."""
NEGATIVES = 3.0
"""Pixels without text that count, for each one with text: the hardest ones."""
MIN_SHARE = 0.01
"""Of all pixels, that count as negatives at least: an image without text teaches, too."""


class DBLoss(nn.Module):
    """``bce``·BCE of text with hard negatives + ``border``·L1 of the threshold + ``binary``·Dice of the binary map.

    Calling it: logits (B, 2, H, W) of text and threshold, and collated maps (each (B, H, W)) give (B,) losses, in
    float32 whatever the logits' type.
    """

    def __init__(self, bce: float, border: float, binary: float) -> None:
        super().__init__()
        self._bce, self._border, self._binary = bce, border, binary

    def forward(self, logits: Tensor, maps: Mapping[str, Tensor]) -> Tensor:
        with torch.autocast(logits.device.type, enabled=False):
            logits = logits.float()
            text, threshold = logits[:, 0], logits[:, 1].sigmoid()
            wanted, counted = maps["text"].float(), maps["counted"].float()
            wanted = wanted * counted
            binary = (STEEPNESS * (text.sigmoid() - threshold)).sigmoid()
            return (
                self._bce * balanced_bce(text, wanted, counted)
                + self._border * masked_l1(threshold, maps["threshold"].float(), maps["border"].float())
                + self._binary * dice(binary, wanted, counted)
            )


def balanced_bce(logits: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """(B,) mean cross entropy of all text pixels and of the NEGATIVES times as many hardest other ones."""
    losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
    positive = wanted.flatten(1)
    negative = (counted * (1 - wanted)).flatten(1)
    losses = losses.flatten(1)
    others = losses * negative
    pixels = losses.shape[1]
    number = positive.sum(1)
    room = negative.sum(1)
    kept = torch.minimum(room, torch.clamp(NEGATIVES * number, min=MIN_SHARE * pixels).floor())
    # Image by image, since their sum asks for no order: sorting a hundred thousand pixels is the dear part.
    hardest = [
        image.topk(most, sorted=False).values.sum() for image, most in zip(others, kept.int().tolist(), strict=True)
    ]
    return ((losses * positive).sum(1) + torch.stack(hardest)) / (number + kept).clamp(min=1)


def masked_l1(values: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
    """(B,) mean absolute difference where the mask is 1; 0 where it is nowhere."""
    return ((values - wanted).abs() * mask).flatten(1).sum(1) / mask.flatten(1).sum(1).clamp(min=1)


def dice(values: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    """(B,) 1 - 2|A∩B|/(|A| + |B|) of the pixels that count; 0 for an image without text."""
    values = (values * counted).flatten(1)
    wanted = wanted.flatten(1)
    text = wanted.sum(1)
    overlap = (values * wanted).sum(1)
    return torch.where(text > 0, 1 - 2 * overlap / (values.sum(1) + text + 1e-6), 0.0 * overlap)
