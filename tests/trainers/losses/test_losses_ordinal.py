from __future__ import annotations

import copy
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foldtune.trainers.components import Component
from foldtune.trainers.losses import LOSSES
from foldtune.trainers.networks.ordinal_heads import CoralHead, CornHead, OrdinalHead, add_head
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.ordinal import Ordinal

LOGITS = torch.tensor([[2.1, 1.8, -2.1, -1.8], [1.9, -1.0, -1.5, -1.3], [1.9, 1.8, 1.7, 1.6]])
TARGETS = torch.tensor([2, 1, 4])
COUNTS = np.bincount(TARGETS.numpy(), minlength=5)


def losses_of(name: str, logits: torch.Tensor, targets: torch.Tensor, **params: float) -> torch.Tensor:
    return LOSSES[name](**params).build(COUNTS)(logits, targets)


@pytest.mark.parametrize(("name", "expected"), [("coral", 0.692039), ("corn", 0.164524)])
def test_the_published_numbers(name: str, expected: float) -> None:
    losses = losses_of(name, LOGITS, TARGETS)
    assert losses.shape == (3,)
    assert losses.mean().item() == pytest.approx(expected, abs=1e-5)


def test_soft_targets_of_sord() -> None:
    expected = [0.010334, 0.207561, 0.56421, 0.207561, 0.010334]
    sord = LOSSES["sord"](alpha=1.0, power=2.0).build(COUNTS)
    assert sord.soft_targets[2].tolist() == pytest.approx(expected, abs=1e-5)
    logits = torch.tensor([[0.3, -1.0, 0.2, 2.0, 0.1]])
    by_hand = -(torch.tensor(expected) * F.log_softmax(logits, dim=1)).sum()
    assert sord(logits, torch.tensor([2])).item() == pytest.approx(by_hand.item(), abs=1e-5)


def test_sord_with_a_large_alpha_is_cross_entropy() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0))
    assert losses_of("sord", logits, TARGETS, alpha=100.0) == pytest.approx(
        F.cross_entropy(logits, TARGETS, reduction="none"), abs=1e-6
    )


@pytest.mark.parametrize("name", ["coral", "corn", "sord"])
def test_parts_of_a_batch_add_up_to_its_gradient(name: str) -> None:
    width = 5 if name == "sord" else 4
    logits = torch.randn(6, width, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([0, 4, 1, 2, 3, 0])
    (whole,) = torch.autograd.grad(losses_of(name, logits, targets).mean(), logits)
    parts = sum(losses_of(name, logits[part], targets[part]).sum() / 6 for part in (slice(0, 1), slice(1, 6)))
    (added,) = torch.autograd.grad(parts, logits)
    assert added == pytest.approx(whole, abs=1e-7)


@pytest.mark.parametrize("name", ["coral", "corn", "sord"])
def test_half_precision_is_computed_in_float32(name: str) -> None:
    logits = torch.full((3, 5 if name == "sord" else 4), 30.0, dtype=torch.bfloat16)
    losses = losses_of(name, logits, TARGETS)
    assert losses.dtype == torch.float32
    assert torch.isfinite(losses).all()


def slow_probabilities(head: OrdinalHead, logits: list[float]) -> list[float]:
    """By the definitions, in float64: P(above k) is σ (CORAL, never rising with k) or a product of σ (CORN)."""
    above = (1.0 / (1.0 + np.exp(-np.array(logits)))).tolist()
    chain = np.minimum.accumulate(above) if isinstance(head, CoralHead) else np.cumprod(above)
    edges = [1.0, *chain.tolist(), 0.0]
    return [high - low for high, low in pairwise(edges)]


@pytest.mark.parametrize("head", [CoralHead(5), CornHead(5)])
def test_evaluation_gives_the_probabilities_of_the_definitions(head: OrdinalHead) -> None:
    random = torch.randn(20, 4, generator=torch.Generator().manual_seed(0)) * 2
    logits = torch.cat([LOGITS, random])
    found = head.log_probabilities(logits).double().softmax(dim=1)
    expected = np.array([slow_probabilities(head, row) for row in logits.tolist()])
    assert found.numpy() == pytest.approx(expected, abs=3e-6)
    assert head.log_probabilities(logits).exp().sum(dim=1).numpy() == pytest.approx(np.ones(23), abs=3e-6)


@pytest.mark.parametrize("head", [CoralHead(4), CornHead(4)])
@pytest.mark.parametrize("size", [0.0, 100.0, -100.0, 1e6, -1e6])
def test_extreme_and_equal_logits_stay_finite(head: OrdinalHead, size: float) -> None:
    logits = torch.full((1, 3), size, requires_grad=True)
    log_probabilities = head.log_probabilities(logits)
    assert torch.isfinite(log_probabilities).all()
    likely = {0.0: None, 100.0: 3, 1e6: 3}.get(size, 0)
    if likely is not None:
        assert log_probabilities.argmax().item() == likely


def test_corn_agrees_between_loss_and_probabilities() -> None:
    """The sum of a row's questions is the negative log likelihood of its level."""
    head = CornHead(5)
    nll = -head.log_probabilities(LOGITS).gather(1, TARGETS[:, None]).squeeze(1)
    assert losses_of("corn", LOGITS, TARGETS) * 3.0 == pytest.approx(nll, abs=1e-5)  # 9 questions, 3 rows


def test_coral_shares_one_weight_vector_and_starts_in_order() -> None:
    task = Ordinal("grade", ("0", "1", "2", "3", "4"), (1, 1, 1, 1, 1))
    model = task.build_model(TrialSettings(model_name="test_resnet", loss=Component("coral")))
    assert model.get_classifier().weight.shape[0] == 1
    logits = model.train()(torch.rand(2, 3, 32, 32))
    assert logits.shape == (2, 4)
    steps = logits.detach().diff(dim=1)
    assert (steps < 0).all()
    assert steps[0] == pytest.approx(steps[1], abs=1e-6)  # levels differ by the biases alone


def test_a_copy_of_a_network_has_a_head_of_its_own() -> None:
    model = add_head(torch.nn.Linear(2, 1), CoralHead(3))
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.ordinal_head.bias += 5.0
    inputs = torch.ones(1, 2)
    assert (other(inputs) - model(inputs)).tolist()[0] == pytest.approx([5.0, 5.0])
