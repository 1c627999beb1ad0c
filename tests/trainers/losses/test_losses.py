"""Numbers of the loss functions against independently computed references and against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from foldtune.trainers.losses import LOSSES
from foldtune.trainers.losses.weights import class_balanced_weights, inverse_power_weights, log_prior
from foldtune.trainers.tasks.multiclass import Multiclass

LOGITS = torch.tensor([[2, 0.5, -1], [0.2, 1.5, 0.3], [-0.5, 0, 1], [1, 1.2, -0.3]])
TARGETS = torch.tensor([0, 1, 2, 0])
COUNTS = np.array([100, 30, 5])


def mean_loss(name: str, **params: float) -> float:
    losses = LOSSES[name](**params).build(COUNTS)(LOGITS, TARGETS)
    assert losses.shape == (4,)
    assert losses.dtype == torch.float32
    return float(losses.mean())


@pytest.mark.parametrize(
    ("name", "params", "reference"),
    [
        ("cross_entropy", {}, 0.518247),
        ("cross_entropy", {"label_smoothing": 0.1}, 0.606580),
        ("weighted_cross_entropy", {"power": 0.0}, 0.518247),
        ("weighted_cross_entropy", {"power": 1.0}, 1.344829),
        ("focal", {"gamma": 2.0}, 0.115840),
        ("focal", {"gamma": 0.0}, 0.518247),
        ("focal", {"gamma": 0.0, "power": 1.0}, 1.344829),
        ("class_balanced", {"beta": 0.99}, 0.378705),
        ("class_balanced", {"beta": 0.99, "gamma": 2.0}, 0.060229),
        ("class_balanced", {"beta": 0.0}, 0.518247),
        ("logit_adjustment", {"tau": 0.0}, 0.518247),
        ("logit_adjustment", {"tau": 0.5}, 0.555093),
        ("logit_adjustment", {"tau": 1.0}, 0.774698),
    ],
)
def test_reference_numbers(name: str, params: dict[str, float], reference: float) -> None:
    assert mean_loss(name, **params) == pytest.approx(reference, abs=1e-5)


def test_weighted_cross_entropy_over_its_weights_is_torch_s_mean() -> None:
    weights = inverse_power_weights(COUNTS, 1.0)
    losses = LOSSES["weighted_cross_entropy"](power=1.0).build(COUNTS)(LOGITS, TARGETS)
    assert float(losses.sum() / weights[TARGETS.numpy()].sum()) == pytest.approx(0.471870, abs=1e-5)


def test_weights_and_smoothing_together_equal_the_formula() -> None:
    weights, eps = inverse_power_weights(COUNTS, 0.5), 0.2
    log_p = log_softmax(LOGITS.numpy().astype(float), axis=1)
    own = (1 - eps) * weights[TARGETS] * -log_p[np.arange(4), TARGETS]
    expected = (own + eps / 3 * (-log_p * weights).sum(axis=1)).mean()
    assert mean_loss("weighted_cross_entropy", power=0.5, label_smoothing=eps) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("beta", "reference"),
    [
        (0.9, [0.668730, 0.698314, 1.632956]),
        (0.99, [0.183251, 0.446313, 2.370437]),
        (0.999, [0.128758, 0.414581, 2.456661]),
    ],
)
def test_class_balanced_weights(beta: float, reference: list[float]) -> None:
    assert class_balanced_weights(COUNTS, beta) == pytest.approx(reference, abs=1e-5)


def test_inverse_power_weights_are_capped() -> None:
    assert inverse_power_weights(COUNTS, 1.0) == pytest.approx([0.45, 1.5, 9.0])
    assert inverse_power_weights([10_000, 10], 1.0).tolist() == pytest.approx([0.5005, 20.0])


@pytest.mark.parametrize("name", Multiclass.losses)
def test_a_class_without_rows_keeps_every_loss_finite(name: str) -> None:
    losses = LOSSES[name]().build(np.array([100, 0, 5]))(LOGITS, TARGETS)
    assert torch.isfinite(losses).all()
    assert np.isfinite(log_prior([100, 0, 5])).all()


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0, 2.0])
def test_focal_s_gradient_is_finite_for_saturated_logits(gamma: float) -> None:
    logits = torch.tensor([[200.0, 0.0, 0.0], [-200.0, 0.0, 0.0]], requires_grad=True)
    losses = LOSSES["focal"](gamma=gamma).build(COUNTS)(logits, torch.tensor([0, 0]))
    losses.sum().backward()
    assert torch.isfinite(losses).all()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("name", Multiclass.losses)
def test_half_precision_logits_are_computed_in_float32(name: str) -> None:
    loss = LOSSES[name]().build(COUNTS)
    half = LOGITS.to(torch.bfloat16)
    assert loss(half, TARGETS).tolist() == loss(half.float(), TARGETS).tolist()
