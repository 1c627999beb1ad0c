"""Mixup: training on weighted means of two images and of their labels (Zhang et al. 2018, eq. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from foldtune.errors import Problem
from foldtune.trainers.components import Component
from foldtune.trainers.deferred import torch
from foldtune.trainers.losses import LOSSES

if TYPE_CHECKING:
    from torch import Tensor

MIXUP_LOSSES = tuple(name for name, loss in LOSSES.items() if loss.linear)
"""Losses that are linear in the label, so that the loss of a mixed label is the mixed loss of the two labels."""


def check_mixup(alpha: float, loss: Component, losses: Sequence[str]) -> list[Problem]:
    """Mixup gives soft labels, which most losses have no formula for; `losses` are those of the task."""
    if alpha == 0 or loss.name in MIXUP_LOSSES:
        return []
    others = "".join(f", or loss {name}" for name in losses if name in MIXUP_LOSSES)
    message = f"gives soft labels, and loss '{loss.name}' takes hard ones; use 0{others}"
    return [Problem("mixup", message)]


class Mix:
    """One draw for a batch of `batch` images: λ ~ Beta(alpha, alpha), and the partner of each image.

    It draws from torch's global generator, so it follows from the seed of the epoch.
    """

    def __init__(self, alpha: float, batch: int) -> None:
        self.weight = float(torch.distributions.Beta(alpha, alpha).sample())
        self.partners = torch.randperm(batch)

    def blend(self, own: Tensor, others: Tensor) -> Tensor:
        """``λ·own + (1-λ)·others``: of pixels, or of losses."""
        return self.weight * own + (1.0 - self.weight) * others
