"""Losses for levels in an order: logits (B, ·) of any float type and levels (B,) int64 to (B,) float32.

CORAL and CORN take the K-1 outputs in training mode of the heads in `foldtune.trainers.networks.ordinal_heads`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from foldtune.trainers.components import number
from foldtune.trainers.deferred import functional as F
from foldtune.trainers.deferred import torch
from foldtune.trainers.losses.registry import ORDERED, Counts, Loss

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Coral(Loss, name="coral", needs=ORDERED):
    """Cumulative logits (B, K-1): the sum over k of the BCE of "the level is above k" (Cao et al. 2020, eq. 4)."""

    def constants(self, class_counts: Counts) -> Mapping[str, Tensor]:
        return {"thresholds": torch.arange(len(class_counts) - 1)}

    def __call__(self, logits: Tensor, targets: Tensor, thresholds: Tensor) -> Tensor:
        above = (targets[:, None] > thresholds).float()
        return F.binary_cross_entropy_with_logits(logits.float(), above, reduction="none").sum(dim=1)


@dataclass(frozen=True)
class Corn(Loss, name="corn", needs=ORDERED):
    """Conditional logits (B, K-1): BCE of "above k, given at least k" (Shi et al. 2021, eq. 6).

    The paper divides a batch's sum by its number of conditions that hold (min(y+1, K-1) for a row of level y). That is
    no mean over rows, so a row's sum is divided by the mean number in the training fold instead: the same scale, and
    gradients that add up over micro-batches.
    """

    def constants(self, class_counts: Counts) -> Mapping[str, Tensor | float]:
        most = len(class_counts) - 1
        conditions = np.minimum(np.arange(most + 1) + 1, most)
        return {
            "thresholds": torch.arange(most),
            "mean_conditions": float(np.average(conditions, weights=class_counts)),
        }

    def __call__(self, logits: Tensor, targets: Tensor, thresholds: Tensor, mean_conditions: float) -> Tensor:
        levels = targets[:, None]
        above = (levels > thresholds).float()
        holds = (levels >= thresholds).float()
        losses = F.binary_cross_entropy_with_logits(logits.float(), above, weight=holds, reduction="none")
        return losses.sum(dim=1) / mean_conditions


@dataclass(frozen=True)
class Sord(Loss, name="sord", needs=ORDERED):
    """Logits (B, K): cross entropy to soft targets ``softmax(-α·|y-k|^r)`` (Díaz and Marathe 2019, eq. 1).

    alpha .3–5, the larger the harder the targets; power r 1 or 2.
    """

    alpha: float = number(1.0, 0.0, 100.0, open_low=True)
    power: float = number(2.0, 0.0, 4.0, open_low=True)

    def constants(self, class_counts: Counts) -> Mapping[str, Tensor]:
        levels = torch.arange(len(class_counts), dtype=torch.float32)
        steps = (levels[:, None] - levels).abs()
        return {"soft_targets": torch.softmax(-self.alpha * steps.pow(self.power), dim=1)}  # a row a level

    def __call__(self, logits: Tensor, targets: Tensor, soft_targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), soft_targets[targets], reduction="none")
