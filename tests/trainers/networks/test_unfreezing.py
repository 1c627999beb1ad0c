"""Gradual unfreezing, and a smaller lr for the layers before the head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from foldtune.errors import SettingsError
from foldtune.trainers.fitting.fit import Fit
from foldtune.trainers.networks.models import build_model, count_layer_groups, layer_groups_of
from foldtune.trainers.networks.unfreezing import unfreeze
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.parsing import parse_settings

Start = Callable[..., Fit]


def trained_groups(model: torch.nn.Module) -> set[int]:
    group_of = layer_groups_of(model)
    return {group_of[name] for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_groups_join_from_the_head_on() -> None:
    model = build_model("test_resnet", 3)
    head = count_layer_groups(model)
    assert head is not None
    parameters = list(model.parameters())
    for epoch, groups in enumerate([0, head // 3, 2 * head // 3, head, head], start=1):
        norms = unfreeze(model, parameters, epoch, 3)
        assert trained_groups(model) == set(range(head - groups, head + 1))
        assert (norms is None) == (epoch == 5)


def test_only_what_has_its_turn_moves_and_a_resumed_training_is_the_same(start: Start, tmp_path: Path) -> None:
    chosen = {"unfreeze_epochs": 1, "epochs": 3, "lr": 0.01, "ema_decay": 0.5}
    fit = start(**chosen)
    before = {name: value.clone() for name, value in fit._learner.model.state_dict().items()}
    fit.step()
    after = fit._learner.model.state_dict()
    assert {name for name in before if not torch.equal(after[name], before[name])} == {"fc.weight", "fc.bias"}
    fit.save(tmp_path / "checkpoint.pt")
    fit.step()
    assert not torch.equal(fit._learner.model.state_dict()["conv1.0.weight"], before["conv1.0.weight"])
    again = start(**chosen)
    again.restore(tmp_path / "checkpoint.pt")
    again.step()
    ours, theirs = (each._learner.model.state_dict() for each in (fit, again))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_frozen_layers_stay_frozen(start: Start) -> None:
    fit = start(unfreeze_epochs=1, train_last=1)
    fit.step()
    fit.step()
    assert len(trained_groups(fit._learner.model)) == 2


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_without_a_factor_every_step_is_that_of_before(optimizer: str, start: Start) -> None:
    """layer_decay 1 makes a group of each layer, whose steps are those of one group, bit for bit."""
    ended = []
    for chosen in ({}, {"layer_decay": 1.0}, {"layer_decay": 1.0, "body_lr_ratio": 1.0}):
        fit = start(optimizer=optimizer, lr=0.01, clip_grad=0, **chosen)
        fit.run()
        ended.append(fit.best_weights())
    assert all(torch.equal(each[name], ended[0][name]) for each in ended for name in ended[0])


@pytest.mark.parametrize(("layer_decay", "deepest"), [(0.0, 0.002), (0.5, None)])
def test_the_body_has_its_own_lr_under_the_schedule(layer_decay: float, deepest: float | None, start: Start) -> None:
    learner = start(body_lr_ratio=0.2, layer_decay=layer_decay, lr=0.01)._learner
    lr = {id(p): group["lr"] for group in learner.optimizer.param_groups for p in group["params"]}
    groups = layer_groups_of(learner.model)
    head = max(groups.values())
    for name, parameter in learner.model.named_parameters():
        expected = 0.01 if groups[name] == head else 0.002 * (layer_decay or 1.0) ** (head - groups[name])
        assert lr[id(parameter)] == pytest.approx(expected), name
    assert learner.lr == pytest.approx(0.01)


def test_a_model_without_layer_groups_is_refused(task: Multiclass) -> None:
    used = {"body_lr_ratio": 0.5, "unfreeze_epochs": 1, "layer_decay": 0.9}
    with pytest.raises(SettingsError) as caught:
        parse_settings({"model_name": "pit_ti_224", **used}, task)
    assert {problem.path for problem in caught.value.problems} == set(used)
    assert "body_lr_ratio: model 'pit_ti_224' has no layer groups; use 1" in str(caught.value)
