"""Heads of ordinal networks with K-1 binary outputs, "is the level above k?", instead of K classes.

In training mode such a network returns the K-1 logits of its loss. They differ in meaning (CORAL: cumulative,
CORN: conditional on the level being at least k), so in evaluation mode it returns log probabilities (B, K) of the
levels. Whatever is stored or voted on is then in one form for every loss, and softmax of it gives the probabilities.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_SMALLEST_STEP = 1e-6  # between cumulative logits: keeps the log probability of a level between equal ones finite


class OrdinalHead(nn.Module, ABC):
    """The last step of a network for K levels."""

    def __init__(self, num_levels: int) -> None:
        super().__init__()
        self.num_inputs = num_levels - 1
        """Outputs that the network below must have."""

    def raw(self, outputs: Tensor) -> Tensor:
        """Outputs (B, num_inputs) float32 of the network to the logits (B, K-1) of the loss."""
        return outputs

    @abstractmethod
    def log_probabilities(self, logits: Tensor) -> Tensor:
        """Logits (B, K-1) float32 to log probabilities (B, K), finite for finite logits."""

    def forward(self, outputs: Tensor) -> Tensor:
        logits = self.raw(outputs.float())
        return logits if self.training else self.log_probabilities(logits)


class CoralHead(OrdinalHead):
    """One weight vector for all levels, that is one output of the network, plus K-1 biases (Cao et al. 2020).

    The biases start in falling order, in which they end by the paper's theorem. Meanwhile they may
    cross; evaluation then takes the lowest so far, so that no level has a negative probability.
    """

    def __init__(self, num_levels: int) -> None:
        super().__init__(num_levels)
        self.num_inputs = 1
        self.bias = nn.Parameter(torch.linspace(1.0, -1.0, num_levels + 1)[1:-1].clone())

    def raw(self, outputs: Tensor) -> Tensor:
        return outputs + self.bias

    def log_probabilities(self, logits: Tensor) -> Tensor:
        falling = logits.cummin(dim=1).values
        above, below = F.logsigmoid(falling), F.logsigmoid(-falling)
        # σ(a) - σ(b) = σ(a)·σ(-b)·(1 - exp(b - a)), without the cancellation of a difference.
        step = (falling[:, 1:] - falling[:, :-1]).clamp_max(-_SMALLEST_STEP)
        between = above[:, :-1] + below[:, 1:] + torch.log(-torch.expm1(step))
        return torch.cat([below[:, :1], between, above[:, -1:]], dim=1)


class CornHead(OrdinalHead):
    """K-1 outputs of the network, each "above k, given at least k" (Shi et al. 2021)."""

    def log_probabilities(self, logits: Tensor) -> Tensor:
        reached = F.pad(F.logsigmoid(logits).cumsum(dim=1), (1, 0))
        stopped = F.pad(F.logsigmoid(-logits), (0, 1))  # nothing is above the last level
        return reached + stopped


ORDINAL_HEADS: Mapping[str, type[OrdinalHead]] = MappingProxyType({"coral": CoralHead, "corn": CornHead})
"""Loss -> its head; the other losses take the K outputs of the network as they are."""


def add_head(model: nn.Module, head: OrdinalHead) -> nn.Module:
    """The same network, whose outputs now go through ``head``; returned for convenience.

    The network stays timm's own, not a part of another: its layers, input size and statistics are found as
    ever. Weights of the head are under ``ordinal_head`` in its state.
    """
    model.add_module("ordinal_head", head)
    model.register_forward_hook(_through_head)
    return model


def _through_head(model: nn.Module, _: Any, outputs: Tensor) -> Tensor:
    head: nn.Module = model.get_submodule("ordinal_head")  # of this copy of the network: an average has its own
    result: Tensor = head(outputs)
    return result
