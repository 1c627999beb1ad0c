"""Which losses exist, their parameters with bounds, and how each is built. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from trainers.components import number
from trainers.losses.weights import class_balanced_weights, inverse_power_weights, log_prior

if TYPE_CHECKING:
    from torch import nn

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CrossEntropyParams:
    """Label smoothing ε: 0–0.2 is usual."""

    label_smoothing: float = number(0.0, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class WeightedCrossEntropyParams:
    """Weights ``(N/(C·n))^power``, capped at 20; power 0–1."""

    power: float = number(0.5, 0.0, 2.0)
    label_smoothing: float = number(0.0, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class FocalParams:
    """Focusing γ: 0–3; α are the weights of weighted cross entropy, off at power 0."""

    gamma: float = number(2.0, 0.0, 10.0)
    power: float = number(0.0, 0.0, 2.0)


@dataclass(frozen=True)
class ClassBalancedParams:
    """β of the effective number of images, focusing γ (0: cross entropy)."""

    beta: float = number(0.999, 0.0, 1.0, open_high=True)
    gamma: float = number(0.0, 0.0, 10.0)


@dataclass(frozen=True)
class LogitAdjustmentParams:
    """Strength τ: 0–1.5; 1 is balanced softmax."""

    tau: float = number(1.0, 0.0, 5.0)


@dataclass(frozen=True)
class LossSpec:
    """A loss's parameters (a frozen dataclass) and its builder from such parameters and class counts."""

    params: type
    builder: Callable[[Any, Counts], nn.Module]

    def build(self, params: Mapping[str, Any], class_counts: Counts) -> nn.Module:
        """The loss for `params` (absent ones at defaults) and the original training fold's counts (C,)."""
        return self.builder(self.params(**params), class_counts)


def _cross_entropy(params: CrossEntropyParams, _: Counts) -> nn.Module:
    from trainers.losses.multiclass import CrossEntropy

    return CrossEntropy(params.label_smoothing)


def _weighted_cross_entropy(params: WeightedCrossEntropyParams, class_counts: Counts) -> nn.Module:
    from trainers.losses.multiclass import CrossEntropy

    return CrossEntropy(params.label_smoothing, inverse_power_weights(class_counts, params.power))


def _focal(params: FocalParams, class_counts: Counts) -> nn.Module:
    from trainers.losses.multiclass import Focal

    return Focal(params.gamma, inverse_power_weights(class_counts, params.power))


def _class_balanced(params: ClassBalancedParams, class_counts: Counts) -> nn.Module:
    from trainers.losses.multiclass import Focal

    return Focal(params.gamma, class_balanced_weights(class_counts, params.beta))


def _logit_adjustment(params: LogitAdjustmentParams, class_counts: Counts) -> nn.Module:
    from trainers.losses.multiclass import LogitAdjustment

    return LogitAdjustment(params.tau, log_prior(class_counts))


LOSSES: Mapping[str, LossSpec] = MappingProxyType(
    {
        "cross_entropy": LossSpec(CrossEntropyParams, _cross_entropy),
        "weighted_cross_entropy": LossSpec(WeightedCrossEntropyParams, _weighted_cross_entropy),
        "focal": LossSpec(FocalParams, _focal),
        "class_balanced": LossSpec(ClassBalancedParams, _class_balanced),
        "logit_adjustment": LossSpec(LogitAdjustmentParams, _logit_adjustment),
    }
)
