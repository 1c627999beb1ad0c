"""Losses for one label an image: logits (B, C) of any float type and labels (B,) int64 to (B,) float32.

Soft labels q (B, C) float32, a row's sum 1, have the expected loss ``Σ q_y·loss(z, y)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from foldtune.trainers.components import number
from foldtune.trainers.deferred import functional as F
from foldtune.trainers.deferred import torch
from foldtune.trainers.losses.registry import ONE_CLASS, ORDERED, Counts, Floats, Loss
from foldtune.trainers.losses.weights import class_balanced_weights, inverse_power_weights, log_prior

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class CrossEntropy(Loss, name="cross_entropy", needs=ONE_CLASS, linear=True, default=True):
    """``-log p_y``, with smoothed targets ``(1-ε)·onehot + ε/C``; ε 0–0.2 is usual."""

    label_smoothing: float = number(0.0, 0.0, 1.0, open_high=True)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), targets, reduction="none", label_smoothing=self.label_smoothing)


@dataclass(frozen=True)
class WeightedCrossEntropy(Loss, name="weighted_cross_entropy", needs=ONE_CLASS):
    """Cross entropy with class weights ``(N/(C·n))^power``, capped at 20; power 0–1."""

    power: float = number(0.5, 0.0, 2.0)
    label_smoothing: float = number(0.0, 0.0, 1.0, open_high=True)

    def constants(self, class_counts: Counts) -> Mapping[str, Floats]:
        return {"weight": inverse_power_weights(class_counts, self.power)}

    def __call__(self, logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), targets, weight, reduction="none", label_smoothing=self.label_smoothing)


@dataclass(frozen=True)
class Focal(Loss, name="focal", needs=ONE_CLASS):
    """``-α_y (1-p_y)^γ log p_y`` over the softmax: Lin et al. 2017, eq. 5. γ 0–3; 0 is weighted cross entropy.

    α are the weights of weighted cross entropy, off at power 0.
    """

    gamma: float = number(2.0, 0.0, 10.0)
    power: float = number(0.0, 0.0, 2.0)

    def constants(self, class_counts: Counts) -> Mapping[str, Floats]:
        return {"weight": inverse_power_weights(class_counts, self.power)}

    def __call__(self, logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        return _weighted_focal(logits, targets, weight, self.gamma)


@dataclass(frozen=True)
class ClassBalanced(Loss, name="class_balanced", needs=ONE_CLASS):
    """Focal loss (γ=0: cross entropy) with weights of the effective numbers of images, β: Cui et al. 2019, eq. 9."""

    beta: float = number(0.999, 0.0, 1.0, open_high=True)
    gamma: float = number(0.0, 0.0, 10.0)

    def constants(self, class_counts: Counts) -> Mapping[str, Floats]:
        return {"weight": class_balanced_weights(class_counts, self.beta)}

    def __call__(self, logits: Tensor, targets: Tensor, weight: Tensor) -> Tensor:
        return _weighted_focal(logits, targets, weight, self.gamma)


@dataclass(frozen=True)
class LogitAdjustment(Loss, name="logit_adjustment", needs=ONE_CLASS):
    """Cross entropy of ``z + τ·log π``: Menon et al. 2021, eq. 10. τ 0–1.5; 1 is balanced softmax."""

    tau: float = number(1.0, 0.0, 5.0)

    def constants(self, class_counts: Counts) -> Mapping[str, Floats]:
        return {"adjustment": self.tau * log_prior(class_counts)}

    def __call__(self, logits: Tensor, targets: Tensor, adjustment: Tensor) -> Tensor:
        return F.cross_entropy(logits.float() + adjustment, targets, reduction="none")


def _weighted_focal(logits: Tensor, targets: Tensor, weight: Tensor, gamma: float) -> Tensor:
    log_p = F.log_softmax(logits.float(), dim=1)
    if targets.ndim == 1:
        return _focal_terms(log_p.gather(1, targets[:, None]).squeeze(1), weight[targets], gamma)
    return (targets * _focal_terms(log_p, weight, gamma)).sum(dim=1)


def _focal_terms(log_p: Tensor, weight: Tensor, gamma: float) -> Tensor:
    # For γ < 1 the slope at p = 1 is infinite: without the clamp a saturated image yields inf·0 = nan.
    miss = (-torch.expm1(log_p)).clamp_min(1e-12)
    return -weight * miss.pow(gamma) * log_p


@dataclass(frozen=True)
class Coral(Loss, name="coral", needs=ORDERED):
    """Cumulative logits (B, K-1): the sum over k of the BCE of "the level is above k" (Cao et al. 2020, eq. 4).

    As CORN it takes the K-1 outputs in training mode of the heads in `foldtune.trainers.networks.ordinal_heads`.
    """

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
