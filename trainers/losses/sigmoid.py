"""Losses for yes-or-no answers: logits (B, L) of any float type and labels (B, L), or (B,) where L = 1, 0 or 1,
to (B,) float32.

A row's loss is the mean over its L labels, whichever the loss, so that a learning rate or a clipped gradient means the
same for all of them. Published figures that sum over the labels are L times the batch mean, sums over all elements
B·L times. There is no reduction over rows: the loop takes the batch mean, so micro-batches add up to the same gradient.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class BinaryCrossEntropy(nn.Module):
    """``-(w·t·log p + (1-t)·log(1-p))`` with targets ``t = (1-ε)·y + ε/2`` and weights w (L,) of the positives."""

    pos_weight: Tensor

    def __init__(self, pos_weight: npt.NDArray[np.float64], label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing
        self.register_buffer("pos_weight", torch.as_tensor(pos_weight, dtype=torch.float32))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        smooth = (1.0 - self.label_smoothing) * _like(logits, targets) + self.label_smoothing / 2.0
        losses = F.binary_cross_entropy_with_logits(
            logits.float(), smooth, pos_weight=self.pos_weight, reduction="none"
        )
        return losses.mean(dim=1)


class SigmoidFocal(nn.Module):
    """``-α_t·(1-p_t)^γ·log p_t``: Lin et al. 2017, eq. 5; α_t is α for positives, 1-α for negatives, None: 1."""

    def __init__(self, gamma: float, alpha: float | None = None) -> None:
        super().__init__()
        self.gamma, self.alpha = gamma, alpha

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        labels = _like(logits, targets)
        losses = _focal(logits, labels, self.gamma)
        if self.alpha is not None:
            losses = losses * (self.alpha * labels + (1.0 - self.alpha) * (1.0 - labels))
        return losses.mean(dim=1)


class ClassBalancedSigmoid(nn.Module):
    """Focal BCE (γ=0: BCE) times a weight of the row: Cui et al. 2019, section 4.

    Args:
        gamma: focusing.
        weight: (L,) weights of the labels, of mean 1. A row takes the mean over the labels it has (Wu et al. 2020,
            for several labels a row), and 1 where it has none. For one yes or no: (2,) weights of no and yes.
    """

    weight: Tensor

    def __init__(self, gamma: float, weight: npt.NDArray[np.float64]) -> None:
        super().__init__()
        self.gamma = gamma
        self.register_buffer("weight", torch.as_tensor(weight, dtype=torch.float32))

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        labels = _like(logits, targets)
        losses = _focal(logits, labels, self.gamma).mean(dim=1)
        has = labels if logits.shape[1] == len(self.weight) else torch.cat([1.0 - labels, labels], dim=1)
        number = has.sum(dim=1)
        mean = (has @ self.weight) / number.clamp_min(1.0)
        return losses * torch.where(number > 0, mean, torch.ones_like(mean))


class Asymmetric(nn.Module):
    """``-y·(1-p)^γ₊·log p - (1-y)·q^γ₋·log(1-q)``, ``q = max(p - clip, 0)``: Ridnik et al. 2021, eq. 5 and 7."""

    def __init__(self, gamma_neg: float, gamma_pos: float, clip: float) -> None:
        super().__init__()
        self.gamma_neg, self.gamma_pos, self.clip = gamma_neg, gamma_pos, clip

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        labels, logits = _like(logits, targets), logits.float()
        log_no = F.logsigmoid(-logits)
        positive = torch.exp(self.gamma_pos * log_no) * F.logsigmoid(logits)
        negative = torch.exp(self.gamma_neg * F.logsigmoid(logits)) * log_no
        if self.clip > 0:
            # For γ₋ < 1 the slope at q = 0 is infinite: without the bound it would meet a gradient of 0 there.
            shifted = (torch.sigmoid(logits) - self.clip).clamp_min(1e-12)
            rest = (torch.sigmoid(-logits) + self.clip).clamp_max(1.0)
            negative = shifted.pow(self.gamma_neg) * rest.log()
        return -(labels * positive + (1.0 - labels) * negative).mean(dim=1)


def _focal(logits: Tensor, labels: Tensor, gamma: float) -> Tensor:
    """``-(1-p_t)^γ log p_t`` (B, L) from logarithms, so that value and gradient stay finite for any logit and γ."""
    signed = logits.float() * (2.0 * labels - 1.0)
    return -torch.exp(gamma * F.logsigmoid(-signed)) * F.logsigmoid(signed)


def _like(logits: Tensor, targets: Tensor) -> Tensor:
    return targets.reshape(logits.shape).float()
