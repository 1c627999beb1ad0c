"""Which losses exist, their parameters with bounds, and how each is built. No torch at import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.components import number
from foldtune.trainers.losses.weights import class_balanced_weights, inverse_power_weights, log_prior, positive_weights

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
class BCEParams:
    """Weights of the positives ``(negatives/positives)^power``, capped at 20: power 0–1; smoothing ε: 0–0.2."""

    power: float = number(0.0, 0.0, 2.0)
    label_smoothing: float = number(0.0, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class SigmoidFocalParams:
    """Focusing γ: 0–3; α of the positives, 1-α of the negatives: .1–.9, 0 is off (weights of 1)."""

    gamma: float = number(1.5, 0.0, 10.0)
    alpha: float = number(0.5, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class ClassBalancedBCEParams:
    """β of the effective number of images, focusing γ (0: BCE)."""

    beta: float = number(0.999, 0.0, 1.0, open_high=True)
    gamma: float = number(0.0, 0.0, 10.0)


@dataclass(frozen=True)
class AsymmetricParams:
    """Focusing of negatives 0–6 and of positives 0–1, and the score below which negatives do not count, 0–.1."""

    gamma_neg: float = number(4.0, 0.0, 10.0)
    gamma_pos: float = number(0.0, 0.0, 10.0)
    clip: float = number(0.05, 0.0, 0.5)


@dataclass(frozen=True)
class CumulativeParams:
    """CORAL and CORN have no parameters."""


@dataclass(frozen=True)
class SordParams:
    """Soft targets ``softmax(-alpha·|y-k|^power)``: alpha .3–5 (the larger, the harder), power 1 or 2."""

    alpha: float = number(1.0, 0.0, 100.0, open_low=True)
    power: float = number(2.0, 0.0, 4.0, open_low=True)


@dataclass(frozen=True)
class DBParams:
    """Weights of the three parts of differentiable binarization: cross entropy of the text map, L1 of the threshold
    map, Dice of the binary map. Liao et al. (2020) take 1, 10 and 1 (in their code 5, 10 and 1)."""

    bce: float = number(1.0, 0.0, 100.0, open_low=True)
    border: float = number(10.0, 0.0, 100.0)
    binary: float = number(1.0, 0.0, 100.0)


ONE_CLASS = "one class an image (multiclass, ordinal)"
YES_OR_NO = "answers of yes or no (binary, multilabel)"
ORDERED = "classes in an order (ordinal)"
PLACES = "places in an image (text_detection)"


@dataclass(frozen=True)
class LossSpec:
    """A loss's parameters (a frozen dataclass), its builder from such parameters and class counts, and what it
    needs of a task, for the message where a task has none of that."""

    params: type
    builder: Callable[[Any, Counts], nn.Module]
    needs: str

    def build(self, params: Mapping[str, Any], class_counts: Counts) -> nn.Module:
        """The loss for `params` (absent ones at defaults) and `Task.class_counts` of the original training fold."""
        return self.builder(self.params(**params), class_counts)


def _cross_entropy(params: CrossEntropyParams, _: Counts) -> nn.Module:
    from foldtune.trainers.losses.multiclass import CrossEntropy

    return CrossEntropy(params.label_smoothing)


def _weighted_cross_entropy(params: WeightedCrossEntropyParams, class_counts: Counts) -> nn.Module:
    from foldtune.trainers.losses.multiclass import CrossEntropy

    return CrossEntropy(params.label_smoothing, inverse_power_weights(class_counts, params.power))


def _focal(params: FocalParams, class_counts: Counts) -> nn.Module:
    from foldtune.trainers.losses.multiclass import Focal

    return Focal(params.gamma, inverse_power_weights(class_counts, params.power))


def _class_balanced(params: ClassBalancedParams, class_counts: Counts) -> nn.Module:
    from foldtune.trainers.losses.multiclass import Focal

    return Focal(params.gamma, class_balanced_weights(class_counts, params.beta))


def _logit_adjustment(params: LogitAdjustmentParams, class_counts: Counts) -> nn.Module:
    from foldtune.trainers.losses.multiclass import LogitAdjustment

    return LogitAdjustment(params.tau, log_prior(class_counts))


def _bce(params: BCEParams, class_counts: Counts) -> nn.Module:
    from foldtune.trainers.losses.sigmoid import BinaryCrossEntropy

    return BinaryCrossEntropy(positive_weights(class_counts, params.power), params.label_smoothing)


def _sigmoid_focal(params: SigmoidFocalParams, _: Counts) -> nn.Module:
    from foldtune.trainers.losses.sigmoid import SigmoidFocal

    return SigmoidFocal(params.gamma, params.alpha or None)


def _class_balanced_bce(params: ClassBalancedBCEParams, class_counts: Counts) -> nn.Module:
    from foldtune.trainers.losses.sigmoid import ClassBalancedSigmoid

    counts = class_counts if class_counts.ndim == 1 else class_counts[:, 1]  # binary: no and yes; else the positives
    return ClassBalancedSigmoid(params.gamma, class_balanced_weights(counts, params.beta))


def _asymmetric(params: AsymmetricParams, _: Counts) -> nn.Module:
    from foldtune.trainers.losses.sigmoid import Asymmetric

    return Asymmetric(params.gamma_neg, params.gamma_pos, params.clip)


def _coral(_: CumulativeParams, class_counts: Counts) -> nn.Module:
    from foldtune.trainers.losses.ordinal import Coral

    return Coral(len(class_counts))


def _corn(_: CumulativeParams, class_counts: Counts) -> nn.Module:
    from foldtune.trainers.losses.ordinal import Corn

    return Corn(class_counts)


def _sord(params: SordParams, class_counts: Counts) -> nn.Module:
    from foldtune.trainers.losses.ordinal import Sord

    return Sord(len(class_counts), params.alpha, params.power)


def _db(params: DBParams, _: Counts) -> nn.Module:
    from foldtune.trainers.losses.differentiable_binarization import DBLoss

    return DBLoss(params.bce, params.border, params.binary)


LOSSES: Mapping[str, LossSpec] = MappingProxyType(
    {
        "cross_entropy": LossSpec(CrossEntropyParams, _cross_entropy, ONE_CLASS),
        "weighted_cross_entropy": LossSpec(WeightedCrossEntropyParams, _weighted_cross_entropy, ONE_CLASS),
        "focal": LossSpec(FocalParams, _focal, ONE_CLASS),
        "class_balanced": LossSpec(ClassBalancedParams, _class_balanced, ONE_CLASS),
        "logit_adjustment": LossSpec(LogitAdjustmentParams, _logit_adjustment, ONE_CLASS),
        "bce": LossSpec(BCEParams, _bce, YES_OR_NO),
        "sigmoid_focal": LossSpec(SigmoidFocalParams, _sigmoid_focal, YES_OR_NO),
        "class_balanced_bce": LossSpec(ClassBalancedBCEParams, _class_balanced_bce, YES_OR_NO),
        "asymmetric": LossSpec(AsymmetricParams, _asymmetric, YES_OR_NO),
        "coral": LossSpec(CumulativeParams, _coral, ORDERED),
        "corn": LossSpec(CumulativeParams, _corn, ORDERED),
        "sord": LossSpec(SordParams, _sord, ORDERED),
        "db": LossSpec(DBParams, _db, PLACES),
    }
)
