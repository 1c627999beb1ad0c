"""A loss as a torch module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from foldtune.trainers.losses.registry import Loss


class WeightedRows(nn.Module):
    """(logits, (targets, weights (B,))) -> (B,) losses of a criterion, each times the weight of its row."""

    def __init__(self, criterion: nn.Module) -> None:
        super().__init__()
        self.criterion = criterion

    def forward(self, logits: Tensor, targets: tuple[Any, Tensor]) -> Tensor:
        losses: Tensor = self.criterion(logits, targets[0])
        return losses * targets[1]


class LossModule(nn.Module):
    """(logits, targets) -> (B,) losses; arrays among the constants are buffers, which move with it to a device."""

    def __init__(self, loss: Loss, constants: Mapping[str, Any]) -> None:
        super().__init__()
        self.loss = loss
        self._names = tuple(constants)
        for name, value in constants.items():
            if isinstance(value, np.ndarray):
                value = torch.as_tensor(value, dtype=torch.float32)
            if isinstance(value, Tensor):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, logits: Tensor, targets: Any) -> Tensor:
        return self.loss(logits, targets, **{name: getattr(self, name) for name in self._names})
