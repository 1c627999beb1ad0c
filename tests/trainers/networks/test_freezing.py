"""Fine-tuning of the last layers: which weights and statistics move, and which never."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
from torch import nn

from foldtune.errors import SettingsError
from foldtune.trainers.fitting.fit import Fit
from foldtune.trainers.networks.models import freeze_all_but_last
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.parsing import parse_settings

Start = Callable[..., Fit]


def trained(model: nn.Module) -> set[str]:
    """Blocks ("layer4.1") and single modules ("fc") that are trained."""
    names = [name.split(".")[:-1] for name, parameter in model.named_parameters() if parameter.requires_grad]
    return {".".join(parts[:2]) if parts[1:] else parts[0] for parts in names}


NAMED = {
    "resnet18": {"fc"},
    "vit_tiny_patch16_224": {"head", "norm"},  # the last norm goes with the last block
    "mobilenetv2_100": {"classifier", "conv_head", "bn2"},
}


@pytest.mark.parametrize(
    ("model_name", "groups", "blocks"),
    [
        ("resnet18", 1, {"layer4.1"}),
        ("resnet18", 3, {"layer4.1", "layer4.0", "layer3.1"}),
        ("vit_tiny_patch16_224", 2, {"blocks.11", "blocks.10"}),
        ("mobilenetv2_100", 1, {"blocks.6"}),
    ],
)
def test_the_head_and_the_last_blocks_are_trained(model_name: str, groups: int, blocks: set[str]) -> None:
    with torch.device("meta"):
        model = timm.create_model(model_name)
    norms = freeze_all_but_last(model, groups)
    assert trained(model) == blocks | NAMED[model_name]
    frozen = {id(p) for p in model.parameters() if not p.requires_grad}
    batch_norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {id(m) for m in norms} == {id(m) for m in batch_norms if id(m.weight) in frozen}


@pytest.mark.parametrize("groups", [0, 10, 1000])
def test_zero_and_more_than_there_are_train_all(groups: int) -> None:
    model = timm.create_model("test_resnet")
    assert freeze_all_but_last(model, groups) == ()
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("model_name", ["test_resnet", "test_vit"])
@pytest.mark.parametrize("layer_decay", [0.0, 0.5])
def test_frozen_weights_and_statistics_stay_and_all_others_move(
    model_name: str, layer_decay: float, start: Start
) -> None:
    training = start(model_name=model_name, train_last=1, layer_decay=layer_decay, ema_decay=0.5, lr=0.01)
    model = training._learner.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    free = {name for name, p in model.named_parameters() if p.requires_grad}
    assert 0 < len(free) < len(list(model.parameters()))
    training.step()
    training.step()  # validation puts the whole network into evaluation mode in between
    last_block = ("layer4", "fc") if model_name == "test_resnet" else ("blocks.5", "norm", "head")
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) is not name.startswith(last_block), name
    average = training._learner.ema.module.state_dict()
    assert all(torch.equal(average[name], before[name]) for name in before if not name.startswith(last_block))


def test_a_frozen_batch_norm_normalises_by_its_statistics_in_training(start: Start) -> None:
    training = start(train_last=1, batch_size=24)
    model, outputs = training._learner.model, []
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))

    def remember(module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> None:
        outputs.append((module.training, inputs[0].clone(), output.clone()))  # ReLU writes into its input

    norm.register_forward_hook(remember)
    training.step()
    training_flag, given, output = outputs[0]
    assert training_flag is False
    assert model.layer4[-1].bn1.weight.requires_grad
    expected = nn.functional.batch_norm(
        given, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )
    torch.testing.assert_close(output, expected)


def test_a_model_without_layer_groups_is_refused(task: Multiclass) -> None:
    with pytest.raises(SettingsError, match="train_last: model 'pit_ti_224' has no layer groups; use 0"):
        parse_settings({"model_name": "pit_ti_224", "train_last": 2}, task)
    with pytest.raises(SettingsError, match="train_last"):
        freeze_all_but_last(nn.Linear(2, 2), 1)
    with pytest.raises(SettingsError, match="train_last: must be an integer >= 0, not -1"):
        parse_settings({"train_last": -1}, task)
