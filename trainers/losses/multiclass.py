"""Losses for one label an image: logits (B, C) of any float type and labels (B,) int64 to (B,) float32.

There is no reduction: the loop takes the batch mean, so micro-batches add up to the same gradient.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CrossEntropy(nn.Module):
    """``-log p_y``, with smoothed targets ``(1-ε)·onehot + ε/C`` and class weights where given."""

    weight: Tensor | None

    def __init__(self, label_smoothing: float = 0.0, weight: npt.NDArray[np.float64] | None = None) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("weight", None if weight is None else _float32(weight))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(
            logits.float(), targets, self.weight, reduction="none", label_smoothing=self.label_smoothing
        )


class Focal(nn.Module):
    """``-α_y (1-p_y)^γ log p_y`` over the softmax: Lin et al. 2017, eq. 5. γ=0 is weighted cross entropy."""

    weight: Tensor

    def __init__(self, gamma: float, weight: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weight", _float32(weight))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        log_p = F.log_softmax(logits.float(), dim=1).gather(1, targets[:, None]).squeeze(1)
        # For γ < 1 the slope at p = 1 is infinite: without the clamp a saturated image yields inf·0 = nan.
        miss = (-torch.expm1(log_p)).clamp_min(1e-12)
        return -self.weight[targets] * miss.pow(self.gamma) * log_p


class LogitAdjustment(nn.Module):
    """Cross entropy of ``z + τ·log π``: Menon et al. 2021, eq. 10. τ=1: balanced softmax."""

    adjustment: Tensor

    def __init__(self, tau: float, log_prior: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("adjustment", _float32(tau * log_prior))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(logits.float() + self.adjustment, targets, reduction="none")


def _float32(values: npt.NDArray[np.float64]) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)
