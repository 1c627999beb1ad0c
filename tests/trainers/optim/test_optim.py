"""What the optimizer holds, and the lr of every step and epoch against closed formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch

from foldtune.errors import SettingsError
from foldtune.trainers.components import Component
from foldtune.trainers.fitting.fit import Fit
from foldtune.trainers.networks.models import build_model
from foldtune.trainers.optim.lr_schedulers import LrScheduler
from foldtune.trainers.optim.optimizers import OPTIMIZERS, build_optimizer
from foldtune.trainers.settings import TrialSettings

Make = Callable[..., TrialSettings]


def optimizer_of(settings: TrialSettings) -> torch.optim.Optimizer:
    model = build_model(settings.model_name, 3)
    return build_optimizer(model, settings.optimizer, lr=settings.lr, weight_decay=settings.weight_decay)


def test_lr_weight_decay_and_betas_reach_adamw(settings: Make) -> None:
    chosen = {"name": "adamw", "beta1": 0.8, "beta2": 0.95}
    optimizer = optimizer_of(settings(lr=3e-4, weight_decay=0.07, optimizer=chosen))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["lr"] for group in optimizer.param_groups} == {3e-4}
    assert {group["betas"] for group in optimizer.param_groups} == {(0.8, 0.95)}
    for group in optimizer.param_groups:
        flat = all(parameter.ndim <= 1 for parameter in group["params"])
        assert group["weight_decay"] == (0.0 if flat else 0.07)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_each_is_timms_of_that_name(name: str, settings: Make) -> None:
    """A step from the same weights and gradients is that of timm's factory with the parameters given by hand."""
    arguments = {
        "lamb": {"max_grad_norm": None},
        "lion": {"betas": (0.9, 0.99)},
        "muon": {"momentum": 0.95, "nesterov": True},
    }.get(name, {})
    chosen = settings(optimizer=name, lr=0.02, weight_decay=0.1)
    stepped = []
    for make in (
        lambda model: build_optimizer(model, chosen.optimizer, lr=0.02, weight_decay=0.1),
        lambda model: timm.optim.create_optimizer_v2(model, opt=name, lr=0.02, weight_decay=0.1, **arguments),
    ):
        torch.manual_seed(0)
        model = build_model("test_vit", 3)
        optimizer = make(model)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step()
        stepped.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*stepped, rtol=1e-5, atol=1e-6)


def test_an_lr_beside_the_name_of_an_optimizer_is_the_lr(settings: Make) -> None:
    assert settings(lr=0.5, optimizer={"name": "lion", "lr": 0.003}) == settings(lr=0.003, optimizer="lion")
    with pytest.raises(SettingsError, match=r"optimizer\.lr: must be a number > 0 and <= 100, not -1"):
        settings(optimizer={"name": "lion", "lr": -1})


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.7, True), (0.7, False), (0.0, True)])
def test_momentum_and_nesterov_reach_sgd(momentum: float, nesterov: bool, settings: Make) -> None:
    optimizer = optimizer_of(settings(optimizer={"name": "sgd", "momentum": momentum, "nesterov": nesterov}))
    assert isinstance(optimizer, torch.optim.SGD)
    for group in optimizer.param_groups:
        assert group["momentum"] == momentum
        assert group["nesterov"] == (nesterov and momentum > 0)


@pytest.mark.parametrize("lr_scheduler", ["cosine", "constant", "plateau"])
def test_layer_decay_scales_the_lr_of_early_layers_under_every_schedule(
    lr_scheduler: str, start: Callable[..., Fit]
) -> None:
    fit = start(layer_decay=0.5, lr=0.01, lr_scheduler=lr_scheduler)
    learner = fit._learner
    depth = {id(p): group["lr"] for group in learner.optimizer.param_groups for p in group["params"]}
    assert depth[id(learner.model.fc.weight)] == pytest.approx(0.01)
    assert depth[id(learner.model.conv1[0].weight)] < 0.001


def test_layer_decay_needs_a_model_with_layer_groups() -> None:
    sgd = Component("sgd", {"momentum": 0.9, "nesterov": True})
    with pytest.raises(SettingsError, match="layer_decay: model Linear has no layer groups"):
        build_optimizer(torch.nn.Linear(2, 2), sgd, lr=0.1, weight_decay=0.0, layer_decay=0.5)


def lr_of_steps(settings: TrialSettings, epochs: int, steps: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=settings.lr)
    scheduler = LrScheduler(
        optimizer, settings.lr_scheduler, settings.lr, epochs=epochs, steps_per_epoch=steps, mode="max"
    )
    lrs = []
    for step in range(epochs * steps):
        scheduler.before_step(step)
        lrs.append(optimizer.param_groups[0]["lr"])
    return lrs


@pytest.mark.parametrize(("warmup_epochs", "ratio"), [(0, 0.0), (1, 0.1), (1.5, 0.0)])
def test_cosine_with_warm_up_equals_the_formula(warmup_epochs: float, ratio: float, settings: Make) -> None:
    epochs, steps, lr = 5, 4, 0.02
    chosen = {"name": "cosine", "warmup_epochs": warmup_epochs, "min_lr_ratio": ratio}
    warm = round(warmup_epochs * steps)
    total = epochs * steps
    expected = [lr * (t + 1) / (warm + 1) for t in range(warm)]
    expected += [
        lr * (ratio + (1 - ratio) * (1 + math.cos(math.pi * t / (total - warm))) / 2) for t in range(total - warm)
    ]
    assert lr_of_steps(settings(lr=lr, lr_scheduler=chosen), epochs, steps) == pytest.approx(expected)


@pytest.mark.parametrize("length", [0.5, 1.5])
def test_a_cosine_of_another_length_ends_early_or_is_cut_off(length: float, settings: Make) -> None:
    chosen = {"name": "cosine", "length": length, "min_lr_ratio": 0.1}
    expected = [0.1 + 0.9 * (1 + math.cos(math.pi * min(1.0, t / (20 * length)))) / 2 for t in range(20)]
    assert lr_of_steps(settings(lr=1.0, lr_scheduler=chosen), 5, 4) == pytest.approx(expected)


def test_constant_stays_after_its_warm_up(settings: Make) -> None:
    chosen = {"name": "constant", "warmup_epochs": 1}
    assert lr_of_steps(settings(lr=0.3, lr_scheduler=chosen), 3, 2) == pytest.approx([0.1, 0.2, 0.3, 0.3, 0.3, 0.3])


def test_one_step_in_all_is_taken_at_the_full_lr(settings: Make, caplog: Any) -> None:
    assert lr_of_steps(settings(lr=0.3), 1, 1) == [0.3]
    assert not caplog.records


def test_a_warm_up_as_long_as_the_training_is_refused(start: Callable[..., Fit]) -> None:
    with pytest.raises(SettingsError, match="warmup_epochs"):
        start(epochs=2, lr_scheduler={"name": "cosine", "warmup_epochs": 2})


def test_each_epoch_reports_the_lr_of_its_last_step(start: Callable[..., Fit]) -> None:
    fit = start(epochs=4, lr=0.01)
    lrs = [fit.step().lr for _ in range(4)]
    last_steps = [3 * epoch + 2 for epoch in range(4)]  # 24 rows in batches of 8
    assert lrs == pytest.approx([0.01 * (1 + math.cos(math.pi * t / 12)) / 2 for t in last_steps])


def test_plateau_lowers_the_lr_only_when_the_metric_stalls(settings: Make) -> None:
    chosen = {"name": "plateau", "factor": 0.1, "patience": 1, "warmup_epochs": 1}
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    made = settings(lr=1.0, lr_scheduler=chosen)
    scheduler = LrScheduler(optimizer, made.lr_scheduler, made.lr, epochs=9, steps_per_epoch=1, mode="max")
    seen = []
    for epoch, value in enumerate([0.5, 0.6, 0.7, 0.7, 0.7, 0.7, 0.8], start=1):
        scheduler.before_step(epoch - 1)
        seen.append(optimizer.param_groups[0]["lr"])
        scheduler.after_epoch(epoch, value)
    assert seen == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1])


@pytest.mark.parametrize(("mode", "expected"), [("max", 1.0), ("min", 0.1)])
def test_plateau_follows_the_direction_of_the_metric(mode: Any, expected: float, settings: Make) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    made = settings(lr=1.0, lr_scheduler={"name": "plateau", "patience": 0})
    scheduler = LrScheduler(optimizer, made.lr_scheduler, made.lr, epochs=9, steps_per_epoch=1, mode=mode)
    scheduler.after_epoch(1, 0.5)
    scheduler.after_epoch(2, 0.9)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)


def test_a_scaled_loss_leaves_the_clipped_step_as_it_was(start: Callable[..., Fit]) -> None:
    """float16 needs the gradients scaled; clipping must see them unscaled (a CPU's scaler does the same)."""
    sgd = {"optimizer": {"name": "sgd", "momentum": 0.0}, "lr": 1.0, "clip_grad": 0.1, "batch_size": 24}
    plain, scaled = start(**sgd), start(**sgd)
    scaled._learner.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    plain.step()
    scaled.step()
    for expected, got in zip(plain._learner.model.parameters(), scaled._learner.model.parameters(), strict=True):
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)


def test_a_step_whose_scaled_gradient_overflows_is_left_out(start: Callable[..., Fit]) -> None:
    fit = start(batch_size=24)
    learner = fit._learner
    learner.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    before = [p.detach().clone() for p in learner.model.parameters()]
    learner.model.fc.weight.register_hook(lambda grad: grad * float("inf"))
    fit.step()
    for expected, got in zip(before, learner.model.parameters(), strict=True):
        torch.testing.assert_close(got.detach(), expected, rtol=0, atol=0)
    assert learner.scaler.get_scale() == 512.0
