"""Losses for labels that are on or off: logits (B, L) of any float type and labels 0 or 1 to (B,) float32.

Labels are (B, L) or, for one label an image, (B,). A row's loss is the mean over its labels.

Soft labels are a mapping of ``labels`` q in [0, 1] and ``known``, 1 or 0, (B, L) each. Their loss is the expected one,
``q·loss(z, 1) + (1-q)·loss(z, 0)``, and a row's the mean over its labels that are known, 0 where none is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from foldtune.trainers.components import number
from foldtune.trainers.deferred import functional as F
from foldtune.trainers.deferred import torch
from foldtune.trainers.losses.registry import BINARY_LIKE, Counts, Floats, Loss
from foldtune.trainers.losses.weights import class_balanced_weights, positive_weights

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class BCE(Loss, name="bce", needs=BINARY_LIKE, field_name="cross_entropy", linear=True, default=True):
    """``-(w·t·log p + (1-t)·log(1-p))`` with targets ``t = (1-ε)·y + ε/2``; ε 0–0.2 is usual.

    The positives' weights w are ``(negatives/positives)^power``, capped at 20; power 0–1.
    """

    power: float = number(0.0, 0.0, 2.0)
    label_smoothing: float = number(0.0, 0.0, 1.0, open_high=True)

    def constants(self, class_counts: Counts) -> Mapping[str, Floats]:
        return {"pos_weight": positive_weights(class_counts, self.power)}

    def __call__(self, logits: Tensor, targets: Any, pos_weight: Tensor) -> Tensor:
        labels, known = _labels(logits, targets)
        smooth = (1.0 - self.label_smoothing) * labels + self.label_smoothing / 2.0
        losses = F.binary_cross_entropy_with_logits(logits.float(), smooth, pos_weight=pos_weight, reduction="none")
        return _row_mean(losses, known)


@dataclass(frozen=True)
class WeightedBCE(BCE, name="weighted_bce", needs=BINARY_LIKE, field_name="weighted_cross_entropy", linear=True):
    """BCE whose weights are on by default."""

    power: float = number(0.5, 0.0, 2.0)


@dataclass(frozen=True)
class SigmoidFocal(Loss, name="sigmoid_focal", needs=BINARY_LIKE, field_name="focal"):
    """``-α_t·(1-p_t)^γ·log p_t``: Lin et al. 2017, eq. 5. γ 0–3.

    α_t is α for positives and 1-α for negatives; α .1–.9, and 0 is off (weights of 1).
    """

    gamma: float = number(1.5, 0.0, 10.0)
    alpha: float = number(0.5, 0.0, 1.0, open_high=True)

    def __call__(self, logits: Tensor, targets: Any) -> Tensor:
        labels, known = _labels(logits, targets)
        weights = (self.alpha, 1.0 - self.alpha) if self.alpha > 0 else (1.0, 1.0)
        return _row_mean(_focal(logits, labels, known, self.gamma, weights), known)


@dataclass(frozen=True)
class ClassBalancedBCE(Loss, name="class_balanced_bce", needs=BINARY_LIKE, field_name="class_balanced"):
    """Focal BCE (γ=0: BCE) times a weight of the row: Cui et al. 2019, section 4.

    Weights are those of the labels' effective numbers of positives, β, of mean 1. A row takes the mean over the labels
    it has (Wu et al. 2020, for several labels a row), and 1 where it has none. Of a binary task both labels have one.
    """

    beta: float = number(0.999, 0.0, 1.0, open_high=True)
    gamma: float = number(0.0, 0.0, 10.0)

    def constants(self, class_counts: Counts) -> Mapping[str, Floats]:
        counts = class_counts if class_counts.ndim == 1 else class_counts[:, 1]  # binary: of both labels
        return {"weight": class_balanced_weights(counts, self.beta)}

    def __call__(self, logits: Tensor, targets: Any, weight: Tensor) -> Tensor:
        labels, known = _labels(logits, targets)
        losses = _row_mean(_focal(logits, labels, known, self.gamma), known)
        has = labels if logits.shape[1] == len(weight) else torch.cat([1.0 - labels, labels], dim=1)
        number = has.sum(dim=1)
        # Weights of labels that sum to less than 1 leave the rest of it to the weight of a row without labels.
        return losses * ((has @ weight + (1.0 - number).clamp_min(0.0)) / number.clamp_min(1.0))


@dataclass(frozen=True)
class Asymmetric(Loss, name="asymmetric", needs=BINARY_LIKE):
    """``-y·(1-p)^γ₊·log p - (1-y)·q^γ₋·log(1-q)``, ``q = max(p - clip, 0)``: Ridnik et al. 2021, eq. 5 and 7.

    Focusing of negatives 0–6 and of positives 0–1; clip 0–.1, the score below which negatives do not count.
    """

    gamma_neg: float = number(4.0, 0.0, 10.0)
    gamma_pos: float = number(0.0, 0.0, 10.0)
    clip: float = number(0.05, 0.0, 0.5)

    def __call__(self, logits: Tensor, targets: Any) -> Tensor:
        (labels, known), logits = _labels(logits, targets), logits.float()
        log_no = F.logsigmoid(-logits)
        positive = torch.exp(self.gamma_pos * log_no) * F.logsigmoid(logits)
        negative = torch.exp(self.gamma_neg * F.logsigmoid(logits)) * log_no
        if self.clip > 0:
            # For γ₋ < 1 the slope at q = 0 is infinite: without the bound it would meet a gradient of 0 there.
            shifted = (torch.sigmoid(logits) - self.clip).clamp_min(1e-12)
            rest = (torch.sigmoid(-logits) + self.clip).clamp_max(1.0)
            negative = shifted.pow(self.gamma_neg) * rest.log()
        return -_row_mean(labels * positive + (1.0 - labels) * negative, known)


def _focal(
    logits: Tensor, labels: Tensor, known: Tensor | None, gamma: float, weights: tuple[float, float] = (1.0, 1.0)
) -> Tensor:
    """``-α_t·(1-p_t)^γ log p_t`` (B, L); α: `weights` of positives and of negatives."""
    if known is not None:
        on, off = _focal_terms(logits.float(), gamma), _focal_terms(-logits.float(), gamma)
        return weights[0] * labels * on + weights[1] * (1.0 - labels) * off
    losses = _focal_terms(logits.float() * (2.0 * labels - 1.0), gamma)
    return losses if weights == (1.0, 1.0) else losses * (weights[0] * labels + weights[1] * (1.0 - labels))


def _focal_terms(logits: Tensor, gamma: float) -> Tensor:
    """``-(1-p)^γ log p`` from logarithms, so that value and gradient stay finite for any logit and γ."""
    return -torch.exp(gamma * F.logsigmoid(-logits)) * F.logsigmoid(logits)


def _labels(logits: Tensor, targets: Any) -> tuple[Tensor, Tensor | None]:
    """Labels of the form of the logits, and where they are known; None where they are hard, and all known."""
    if isinstance(targets, Mapping):
        return targets["labels"].float(), targets["known"].float()
    return targets.reshape(logits.shape).float(), None


def _row_mean(losses: Tensor, known: Tensor | None) -> Tensor:
    if known is None:
        return losses.mean(dim=1)
    return (losses * known).sum(dim=1) / known.sum(dim=1).clamp_min(1.0)
