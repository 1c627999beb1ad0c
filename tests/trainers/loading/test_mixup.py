"""Mixup: mixed images and mixed labels, exactly, and only with losses that can have them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from foldtune.errors import SettingsError
from foldtune.trainers.fitting.fit import Fit
from foldtune.trainers.loading.augment import MIXUP_LOSSES, Mix
from foldtune.trainers.losses import LOSSES
from foldtune.trainers.settings import settings_to_dict
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.parsing import parse_settings

Start = Callable[..., Fit]
FROZEN: dict[str, Any] = {"lr": 1e-12, "weight_decay": 0.0, "model_name": "test_vit"}


def recorded(training: Fit) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """(inputs, outputs) of each forward pass in training, filled as it runs."""
    passes: list[tuple[torch.Tensor, torch.Tensor]] = []

    def remember(model: torch.nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        if model.training:
            passes.append((inputs[0].detach().clone(), output.detach().clone()))

    training._learner.model.register_forward_hook(remember)
    return passes


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_cross_entropy_of_mixed_labels_on_mixed_images(
    smoothing: float, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixes: list[Mix] = []

    class Remembered(Mix):
        def __init__(self, alpha: float, batch: int) -> None:
            super().__init__(alpha, batch)
            mixes.append(self)

    monkeypatch.setattr("foldtune.trainers.fitting.epoch.Mix", Remembered)
    loss = {"name": "cross_entropy", "label_smoothing": smoothing}
    training = start(mixup=1.0, batch_size=24, loss=loss, **FROZEN)
    passes = recorded(training)
    train_loss = training.step().metrics["train_loss"]
    ((inputs, output),), (mix,) = passes, mixes
    rows = training.data.images.log[0]
    assert 0.0 < mix.weight < 1.0
    assert sorted(mix.partners.tolist()) == list(range(24))
    pixels = training._learner.normalize(torch.from_numpy(training.data.images.array[rows]))
    expected = mix.weight * pixels + (1 - mix.weight) * pixels[mix.partners]
    torch.testing.assert_close(inputs, expected, atol=1e-5, rtol=1e-5)
    labels = F.one_hot(torch.from_numpy(training.data.targets[rows]), 3).float()
    soft = mix.weight * labels + (1 - mix.weight) * labels[mix.partners]
    assert train_loss == pytest.approx(float(F.cross_entropy(output, soft, label_smoothing=smoothing)), abs=1e-5)


def test_bce_of_mixed_labels_is_the_mixed_bce() -> None:
    logits, labels = torch.randn(6, 4), torch.randint(0, 2, (6, 4)).float()
    counts = np.array([[30, 10], [5, 35], [20, 20], [39, 1]])
    criterion = LOSSES["bce"](power=1.0, label_smoothing=0.1).build(counts)
    mix = Mix(1.0, 6)
    mixed = mix.blend(criterion(logits, labels), criterion(logits, labels[mix.partners]))
    torch.testing.assert_close(mixed, criterion(logits, mix.blend(labels, labels[mix.partners])))


def test_small_micro_batches_mix_the_same(start: Start) -> None:
    whole, parts = (start(mixup=0.5, batch_size=24, **FROZEN) for _ in range(2))
    parts._learner.micro.size = 5
    losses = [training.step().metrics["train_loss"] for training in (whole, parts)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


@pytest.mark.parametrize("alpha", [0.2, pytest.param(1.0, marks=pytest.mark.slow)])
def test_weights_follow_the_beta_distribution(alpha: float) -> None:
    torch.manual_seed(0)
    weights = np.array([Mix(alpha, 2).weight for _ in range(4000)])
    assert weights.mean() == pytest.approx(0.5, abs=0.03)
    assert weights.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)


def test_off_draws_nothing_and_validation_never_mixes(start: Start) -> None:
    off, on = start(mixup=0.0, **FROZEN), start(mixup=1.0, **FROZEN)
    plain = start(**FROZEN)
    reports = [training.step() for training in (off, plain, on)]
    assert reports[0].metrics == reports[1].metrics
    assert reports[0].metrics["train_loss"] != reports[2].metrics["train_loss"]
    np.testing.assert_allclose(on.valid_logits, plain.valid_logits, atol=1e-6)


@pytest.mark.parametrize("loss", [name for name in Multiclass.losses if name not in MIXUP_LOSSES])
def test_losses_of_hard_labels_are_refused_with_the_reason(loss: str, task: Multiclass) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"loss": loss, "mixup": 0.2}, task)
    (problem,) = caught.value.problems
    assert problem.path == "mixup"
    expected = f"gives soft labels, and loss '{loss}' takes hard ones; use 0, or loss cross_entropy"
    assert problem.message == expected
    assert parse_settings({"loss": loss, "mixup": 0}, task).mixup == 0.0


def test_losses_of_soft_labels_are_taken(task: Multiclass) -> None:
    settings = parse_settings({"loss": "cross_entropy", "mixup": 0.2}, task)
    assert settings.mixup == 0.2
    assert parse_settings(settings_to_dict(settings), task) == settings
    assert "bce" in Binary.losses
    with pytest.raises(SettingsError, match="mixup: must be a number >= 0 and <= 10, not -1"):
        parse_settings({"mixup": -1}, task)
