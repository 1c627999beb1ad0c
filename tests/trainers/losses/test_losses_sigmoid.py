"""Losses of labels that are on or off against independently computed references, libraries and plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit
from timm.loss import AsymmetricLossMultiLabel
from torch.nn import functional as F

from foldtune.trainers.losses import LOSSES
from foldtune.trainers.losses.weights import class_balanced_weights, positive_weights

NAMES = ("bce", "weighted_bce", "sigmoid_focal", "class_balanced_bce", "asymmetric")
LOGITS = torch.tensor([[1.2, -0.8, -2.0], [-0.3, 0.9, -1.5]])
LABELS = torch.tensor([[1.0, 0, 0], [0, 1, 1]])
COUNTS = np.array([[1, 1], [2, 1], [5, 1]])  # negatives and positives a label
ELEMENTS = LABELS.numel()


def losses_of(name: str, counts: np.ndarray = COUNTS, **params: float) -> torch.Tensor:
    losses = LOSSES[name](**params).build(counts)(LOGITS, LABELS)
    assert losses.shape == (2,)
    assert losses.dtype == torch.float32
    return losses


@pytest.mark.parametrize(
    ("name", "params", "scale", "reference"),
    [
        ("bce", {}, 1, 0.559706),
        ("bce", {"power": 1.0}, 1, 1.750840),
        ("weighted_bce", {"power": 1.0}, 1, 1.750840),
        ("sigmoid_focal", {"gamma": 2.0, "alpha": 0.25}, 1, 0.066395),
        ("sigmoid_focal", {"gamma": 2.0, "alpha": 0.0}, 1, 0.219625),
        ("sigmoid_focal", {"gamma": 0.0, "alpha": 0.0}, 1, 0.559706),
        ("class_balanced_bce", {"beta": 0.0}, 1, 0.559706),
        ("asymmetric", {"gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05}, ELEMENTS, 1.561332),
        ("asymmetric", {"gamma_neg": 4.0, "gamma_pos": 0.0, "clip": 0.05}, ELEMENTS, 2.316596),
        ("asymmetric", {"gamma_neg": 0.0, "gamma_pos": 0.0, "clip": 0.0}, 1, 0.559706),
    ],
)
def test_reference_numbers(name: str, params: dict[str, float], scale: int, reference: float) -> None:
    assert scale * float(losses_of(name, **params).mean()) == pytest.approx(reference, abs=1e-5)


@pytest.mark.parametrize(("gamma", "reference"), [(0.0, 1.255781), (2.0, 0.278933)])
def test_class_balanced_reference_numbers_of_one_label_a_row(gamma: float, reference: float) -> None:
    logits = torch.tensor([[2, 0.5, -1], [0.2, 1.5, 0.3], [-0.5, 0, 1], [1, 1.2, -0.3]])
    labels = F.one_hot(torch.tensor([0, 1, 2, 0]), 3)
    counts = np.array([[35, 100], [105, 30], [130, 5]])
    losses = LOSSES["class_balanced_bce"](beta=0.99, gamma=gamma).build(counts)(logits, labels)
    assert 3 * float(losses.mean()) == pytest.approx(reference, abs=1e-5)


def test_a_row_s_class_balanced_weight_is_the_mean_of_its_labels() -> None:
    labels = torch.tensor([[1.0, 0, 1], [0, 0, 0]])
    counts = np.array([[35, 100], [105, 30], [130, 5]])
    losses = LOSSES["class_balanced_bce"](beta=0.99).build(counts)(LOGITS, labels)
    plain = F.binary_cross_entropy_with_logits(LOGITS, labels, reduction="none").mean(dim=1)
    weights = class_balanced_weights([100, 30, 5], 0.99)
    assert (losses / plain).tolist() == pytest.approx([(weights[0] + weights[2]) / 2, 1.0])


def test_binary_class_balanced_weights_are_of_both_labels() -> None:
    logits, targets = torch.tensor([[0.3], [-1.0], [2.0]]), torch.tensor([0, 1, 1])
    losses = LOSSES["class_balanced_bce"](beta=0.99).build(np.array([90, 10]))(logits, targets)
    plain = F.binary_cross_entropy_with_logits(logits[:, 0], targets.float(), reduction="none")
    weights = class_balanced_weights([90, 10], 0.99)
    assert (losses / plain).tolist() == pytest.approx([weights[0], weights[1], weights[1]])


def test_positive_weights_are_powers_capped_at_20() -> None:
    counts = [[999, 1], [50, 50], [10, 90], [100, 0]]
    assert positive_weights(counts, 1.0).tolist() == pytest.approx([20, 1, 1 / 9, 20])
    assert positive_weights([90, 10], 0.5).tolist() == pytest.approx([3.0])
    assert positive_weights(counts, 0.0).tolist() == [1, 1, 1, 1]


def test_smoothing_moves_targets_towards_a_half() -> None:
    p, soft = expit(LOGITS.double().numpy()), 0.8 * LABELS.numpy() + 0.1
    expected = -(soft * np.log(p) + (1 - soft) * np.log1p(-p)).mean(axis=1)
    assert losses_of("bce", label_smoothing=0.2).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("gamma_neg", "gamma_pos", "clip"), [(4, 1, 0.05), (2, 0, 0.2), (3, 0.5, 0)])
def test_asymmetric_is_timm_s(gamma_neg: float, gamma_pos: float, clip: float) -> None:
    timm_s = AsymmetricLossMultiLabel(gamma_neg, gamma_pos, clip)(LOGITS, LABELS)
    own = losses_of("asymmetric", gamma_neg=gamma_neg, gamma_pos=gamma_pos, clip=clip)
    assert LABELS.shape[1] * float(own.mean()) == pytest.approx(float(timm_s), abs=1e-5)  # over rows alone


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("params", [{}, {"low": True}], ids=["default", "gamma below 1"])
def test_value_and_gradient_are_finite_for_any_logit(name: str, params: dict[str, bool]) -> None:
    low = {"sigmoid_focal": {"gamma": 0.3}, "class_balanced_bce": {"gamma": 0.3}}
    low["asymmetric"] = {"gamma_neg": 0.3, "gamma_pos": 0.3}
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, -4.0]], requires_grad=True)
    losses = LOSSES[name](**(low.get(name, {}) if params else {})).build(COUNTS)(logits, LABELS)
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()
    assert losses[0] < losses[1] + 1e-6  # the second row has two labels quite wrong


@pytest.mark.parametrize("name", NAMES)
def test_a_label_without_rows_keeps_every_loss_finite(name: str) -> None:
    assert torch.isfinite(losses_of(name, np.array([[10, 0], [0, 10], [5, 5]]))).all()


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_logits_are_computed_in_float32(name: str) -> None:
    loss, half = LOSSES[name]().build(COUNTS), LOGITS.to(torch.bfloat16)
    assert loss(half, LABELS).tolist() == loss(half.float(), LABELS).tolist()


@pytest.mark.parametrize("name", NAMES)
def test_one_column_of_labels_may_come_flat(name: str) -> None:
    loss = LOSSES[name]().build(np.array([30, 10]))
    assert loss(LOGITS[:, :1], LABELS[:, 0].long()).tolist() == loss(LOGITS[:, :1], LABELS[:, :1]).tolist()
