"""Heads: what they are made of, in which networks, and that they come back from weights on the disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from foldtune.errors import SettingsError
from foldtune.trainers.components import Component
from foldtune.trainers.fitting.fit import Fit
from foldtune.trainers.inference.predictor import predict_logits
from foldtune.trainers.inference.trained import load_trained
from foldtune.trainers.networks.models import build_model, input_stats
from foldtune.trainers.networks.weights import save_weights
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.parsing import parse_settings

Make = Callable[..., TrialSettings]
MLP: dict[str, Any] = {"name": "mlp", "units": 24, "layers": 2, "dropout": 0.4}
MLP_HEAD = Component("mlp", {"units": 24, "layers": 2, "dropout": 0.4})
CLASSIFIERS = {
    "test_resnet": "fc",
    "test_vit": "head",
    "test_efficientnet": "classifier",
    "test_convnext": "head.fc",
    "mobilenetv2_035": "classifier",
    "swin_tiny_patch4_window7_224": "head.fc",
}


@pytest.mark.parametrize("model_name", CLASSIFIERS)
def test_an_mlp_stands_where_the_classifier_was(model_name: str) -> None:
    with torch.device("meta"):
        plain = build_model(model_name, 5)
        model = build_model(model_name, 5, head=MLP_HEAD)
    head = model.get_submodule(CLASSIFIERS[model_name])
    widths = [(layer.in_features, layer.out_features) for layer in head if isinstance(layer, nn.Linear)]
    assert widths == [(plain.num_features, 24), (24, 24), (24, 5)]
    assert [layer.p for layer in head if isinstance(layer, nn.Dropout)] == [0.4, 0.4]
    assert sum(isinstance(layer, nn.ReLU) for layer in head) == 2
    assert input_stats(model) == input_stats(plain)
    assert plain.state_dict().keys() - model.state_dict().keys() == {
        f"{CLASSIFIERS[model_name]}.{kind}" for kind in ("weight", "bias")
    }


@pytest.mark.parametrize("model_name", ["test_resnet", "test_vit"])
def test_outputs_are_the_head_of_the_pooled_features(model_name: str) -> None:
    model = build_model(model_name, 5, head=MLP_HEAD).eval()
    images = torch.randn(2, 3, 160, 160)
    with torch.no_grad():
        pooled = model.forward_head(model.forward_features(images), pre_logits=True)
        expected = model.get_submodule(CLASSIFIERS[model_name])(pooled)
        assert expected.shape == (2, 5)
        torch.testing.assert_close(model(images), expected)


def test_linear_is_timms_own() -> None:
    assert isinstance(build_model("test_resnet", 5).fc, nn.Linear)


@pytest.mark.parametrize("model_name", ["test_resnet", "test_vit"])
def test_a_trained_head_is_read_back(model_name: str, start: Callable[..., Fit], tmp_path: Path) -> None:
    training = start(model_name=model_name, head=MLP)
    before = {name: value.clone() for name, value in training._learner.model.state_dict().items()}
    training.step()
    changed = {name for name, value in training.best_weights().items() if not torch.equal(value, before[name])}
    name = CLASSIFIERS[model_name]
    assert {f"{name}.{layer}.weight" for layer in (0, 3, 6)} <= changed
    save_weights(training.best_weights(), tmp_path / "weights.safetensors")
    model = load_trained(training.task, training.settings, tmp_path / "weights.safetensors", (32, 32))
    again = predict_logits(model, training.data.images, training.data.valid_rows)
    np.testing.assert_array_equal(again, training.valid_logits)


def test_dropout_of_the_head_acts_in_training_alone(start: Callable[..., Fit]) -> None:
    frozen = {"model_name": "test_vit", "lr": 1e-12, "weight_decay": 0.0}
    plain, dropped = (start(head=MLP | {"dropout": rate}, **frozen) for rate in (0.0, 0.9))
    assert plain.step().metrics["train_loss"] != dropped.step().metrics["train_loss"]
    np.testing.assert_allclose(plain.valid_logits, dropped.valid_logits, atol=1e-6)


@pytest.mark.parametrize("model_name", ["efficientformer_l1", "resnetv2_18"])
def test_a_model_without_one_dense_classifier_is_refused(model_name: str, task: Multiclass) -> None:
    mapping = {"model_name": model_name, "head": "mlp"}
    with pytest.raises(SettingsError, match=rf"head: model '{model_name}' has no single dense classifier.*use linear"):
        parse_settings(mapping, task)
    assert parse_settings(mapping | {"head": "linear"}, task).head.name == "linear"


@pytest.mark.parametrize(
    ("head", "path", "message"),
    [
        ("mpl", "head", "did you mean 'mlp'"),
        ({"name": "mlp", "unit": 9}, "head.unit", "did you mean 'units'"),
        ({"name": "mlp", "units": 0}, "head.units", ">= 1"),
        ({"name": "mlp", "layers": 2.5}, "head.layers", "an integer"),
        ({"name": "mlp", "dropout": 1.0}, "head.dropout", "< 1"),
    ],
)
def test_wrong_heads_are_refused(head: object, path: str, message: str, task: Multiclass) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings({"head": head}, task)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert message in problem.message
