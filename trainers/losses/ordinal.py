"""Losses for levels in an order: logits (B, ·) of any float type and levels (B,) int64 to (B,) float32.

There is no reduction: the loop takes the batch mean, so micro-batches add up to the same gradient. CORAL and
CORN take the K-1 raw outputs of the heads in :mod:`trainers.networks.ordinal_heads`, as those are while they train.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Coral(nn.Module):
    """Cumulative logits (B, K-1): the sum over k of the BCE of "the level is above k" (Cao et al. 2020, eq. 4)."""

    thresholds: Tensor

    def __init__(self, num_levels: int) -> None:
        super().__init__()
        self.register_buffer("thresholds", torch.arange(num_levels - 1))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        above = (targets[:, None] > self.thresholds).float()
        return F.binary_cross_entropy_with_logits(logits.float(), above, reduction="none").sum(dim=1)


class Corn(nn.Module):
    """Conditional logits (B, K-1): BCE of "above k, given at least k" (Shi et al. 2021, eq. 6).

    The paper divides a batch's sum by its number of questions (a row of level y is asked min(y+1, K-1)). That is
    no mean over rows, so a row's sum is divided by the mean number of questions in the training fold instead:
    the same scale, and gradients that add up over micro-batches.
    """

    thresholds: Tensor

    def __init__(self, class_counts: npt.NDArray[np.int64]) -> None:
        super().__init__()
        num_levels = len(class_counts)
        questions = np.minimum(np.arange(num_levels) + 1, num_levels - 1)
        self.mean_questions = float(np.average(questions, weights=class_counts))
        self.register_buffer("thresholds", torch.arange(num_levels - 1))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        levels = targets[:, None]
        above = (levels > self.thresholds).float()
        asked = (levels >= self.thresholds).float()
        losses = F.binary_cross_entropy_with_logits(logits.float(), above, weight=asked, reduction="none")
        return losses.sum(dim=1) / self.mean_questions


class Sord(nn.Module):
    """Logits (B, K): cross entropy to soft targets ``softmax(-α·|y-k|^r)`` (Díaz and Marathe 2019, eq. 1).

    Attributes:
        soft_targets: (K, K), a row a level.
    """

    soft_targets: Tensor

    def __init__(self, num_levels: int, alpha: float, power: float) -> None:
        super().__init__()
        levels = torch.arange(num_levels, dtype=torch.float32)
        steps = (levels[:, None] - levels).abs()
        self.register_buffer("soft_targets", torch.softmax(-alpha * steps.pow(power), dim=1))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), self.soft_targets[targets], reduction="none")
