"""Losses of soft and of unknown labels: those of hard labels where they are certain, else their expectation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foldtune.trainers.losses import BINARY_LIKE, LOSSES, ONE_CLASS

ROWS, CLASSES = 64, 5
ONE = [(name, {}) for name, loss in LOSSES.items() if loss.needs == ONE_CLASS] + [
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("weighted_cross_entropy", {"power": 1.0, "label_smoothing": 0.2}),
    ("focal", {"gamma": 0.5, "power": 1.0}),
    ("class_balanced", {"gamma": 2.0}),
]
ON_OFF = [(name, {}) for name, loss in LOSSES.items() if loss.needs == BINARY_LIKE] + [
    ("bce", {"power": 1.0, "label_smoothing": 0.1}),
    ("sigmoid_focal", {"alpha": 0.0}),
    ("class_balanced_bce", {"gamma": 2.0, "beta": 0.9}),
]
UNWEIGHTED = [
    pair for pair in ON_OFF if pair[0] not in ("class_balanced_bce", "weighted_bce") and "power" not in pair[1]
]
GENERATOR = torch.Generator().manual_seed(0)
LOGITS = 4 * torch.randn(ROWS, CLASSES, generator=GENERATOR)
CLASS = torch.randint(CLASSES, (ROWS,), generator=GENERATOR)
LABELS = torch.randint(2, (ROWS, CLASSES), generator=GENERATOR).float()
WEIGHTS = torch.rand(ROWS, CLASSES, generator=GENERATOR)
COUNTS = np.array([100, 50, 20, 5, 1])
PAIRS = np.stack([200 - COUNTS, COUNTS], axis=1)


def graded(loss: torch.nn.Module, targets: object) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses (B,), and the gradient of their sum."""
    logits = LOGITS.clone().requires_grad_()
    losses = loss(logits, targets)
    losses.sum().backward()
    assert logits.grad is not None
    return losses.detach(), logits.grad


def soft(labels: torch.Tensor, known: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
    return {"labels": labels, "known": torch.ones_like(labels) if known is None else known}


@pytest.mark.parametrize(("name", "params"), ONE)
def test_one_hot_targets_have_the_loss_of_their_class(name: str, params: dict[str, float]) -> None:
    loss = LOSSES[name](**params).build(COUNTS)
    for hard, one_hot in zip(graded(loss, CLASS), graded(loss, F.one_hot(CLASS, CLASSES).float()), strict=True):
        assert torch.allclose(hard, one_hot, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "params"), ONE)
def test_the_loss_of_probabilities_is_the_expected_loss(name: str, params: dict[str, float]) -> None:
    loss, shares = LOSSES[name](**params).build(COUNTS), WEIGHTS / WEIGHTS.sum(dim=1, keepdim=True)
    each = torch.stack([loss(LOGITS, torch.full((ROWS,), label)) for label in range(CLASSES)], dim=1)
    assert torch.allclose(loss(LOGITS, shares), (shares * each).sum(dim=1), rtol=1e-5)


@pytest.mark.parametrize(("name", "params"), ON_OFF)
def test_certain_labels_have_the_loss_of_hard_ones(name: str, params: dict[str, float]) -> None:
    loss = LOSSES[name](**params).build(PAIRS)
    for hard, certain in zip(graded(loss, LABELS), graded(loss, soft(LABELS)), strict=True):
        assert torch.allclose(hard, certain, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("name", "params"), UNWEIGHTED)
def test_the_loss_of_weights_is_the_expected_loss(name: str, params: dict[str, float]) -> None:
    loss = LOSSES[name](**params).build(PAIRS)
    expected = torch.zeros(ROWS)
    for labels in itertools.product([0.0, 1.0], repeat=CLASSES):
        row = torch.tensor(labels)
        chance = (row * WEIGHTS + (1 - row) * (1 - WEIGHTS)).prod(dim=1)
        expected += chance * loss(LOGITS, row.expand(ROWS, CLASSES))
    assert torch.allclose(loss(LOGITS, soft(WEIGHTS)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "params"), ON_OFF)
def test_an_unknown_cell_has_no_loss_and_no_gradient(name: str, params: dict[str, float]) -> None:
    loss, known = LOSSES[name](**params).build(PAIRS), (WEIGHTS > 0.4).float()
    known[0] = 0.0
    losses, gradient = graded(loss, soft(LABELS * known, known))
    assert losses[0] == 0
    assert not gradient[known == 0].any()
    assert gradient[known == 1].any()


@pytest.mark.parametrize(("name", "params"), [pair for pair in ON_OFF if pair[0] != "class_balanced_bce"])
def test_a_row_s_loss_is_that_of_its_known_labels_alone(name: str, params: dict[str, float]) -> None:
    known = torch.tensor([1.0, 0, 1, 1, 0])
    columns = known.nonzero()[:, 0]
    masked = LOSSES[name](**params).build(PAIRS)(LOGITS, soft(LABELS * known, known.expand(ROWS, CLASSES)))
    alone = LOSSES[name](**params).build(PAIRS[columns])(LOGITS[:, columns], LABELS[:, columns])
    assert torch.allclose(masked, alone, rtol=1e-6, atol=1e-7)


def test_the_class_balanced_weight_is_continuous_in_the_weights_of_a_row() -> None:
    loss = LOSSES["class_balanced_bce"](beta=0.99).build(PAIRS)
    none, faint = torch.zeros(ROWS, CLASSES), torch.full((ROWS, CLASSES), 1e-5)
    assert torch.allclose(loss(LOGITS, soft(none)), loss(LOGITS, soft(faint)), rtol=1e-3)
