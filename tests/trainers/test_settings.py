from __future__ import annotations

import json
import math
import pickle
from typing import Any

import pytest

from foldtune.errors import SettingsError
from foldtune.trainers.components import Component
from foldtune.trainers.settings import COMPONENTS, TrialSettings, settings_to_dict
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.parsing import parse_settings

RICH: dict[str, Any] = {
    "model_name": "test_vit",
    "drop_rate": 0.25,
    "drop_path_rate": 0.1,
    "loss": {"name": "focal", "gamma": 1.5},
    "optimizer": {"name": "sgd", "momentum": 0.8, "nesterov": False},
    "lr": 0.01,
    "lr_scheduler": {"name": "plateau", "factor": 0.5, "patience": 2},
    "batch_size": 32,
    "sampler": {"name": "balanced", "strength": 0.75},
    "augmentation": {"name": "medium", "strength": 1},
    "amp": "off",
    "channels_last": False,
    "postprocess": {"prior_power": 0.5, "offsets": {"a": 0.1}},
    "head": {"name": "mlp", "units": 64, "layers": 2, "dropout": 0},
    "train_last": 3,
    "tta": "flips",
    "mixup": 0,
    "crop": {"name": "random_resized_crop", "size": 48, "scale_min": 0.5},
}


def problems_of(mapping: dict[str, Any], task: Multiclass) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(mapping, task)
    return {problem.path: problem.message for problem in caught.value.problems}


def test_nothing_given_is_the_default_configuration(task: Multiclass) -> None:
    assert parse_settings({}, task) == TrialSettings()


def test_round_trip_through_json_and_pickle(task: Multiclass) -> None:
    settings = parse_settings(RICH, task)
    assert parse_settings(json.loads(json.dumps(settings_to_dict(settings))), task) == settings
    assert pickle.loads(pickle.dumps(settings)) == settings
    assert hash(pickle.loads(pickle.dumps(settings))) == hash(settings)


def test_given_values_are_kept_and_missing_parameters_filled_in(task: Multiclass) -> None:
    settings = parse_settings(RICH, task)
    assert settings.loss == Component("focal", {"gamma": 1.5, "power": 0.0})
    assert settings.optimizer.params["momentum"] == 0.8
    assert settings.optimizer.params["nesterov"] is False
    assert settings.augmentation.params["strength"] == 1.0
    assert (settings.lr, settings.batch_size, settings.amp) == (0.01, 32, "off")


@pytest.mark.parametrize("setting", COMPONENTS)
def test_every_component_can_be_named_alone(setting: str, task: Multiclass) -> None:
    for name in task.losses if setting == "loss" else COMPONENTS[setting]:
        component = getattr(parse_settings({setting: name}, task), setting)
        assert component.name == name
        assert component == getattr(parse_settings({setting: {"name": name}}, task), setting)


def test_all_problems_are_reported_at_once(task: Multiclass) -> None:
    found = problems_of(
        {
            "modle_name": "resnet18",
            "model_name": "resnet10",
            "lr": -1,
            "loss": {"name": "focal", "gama": 2.0},
            "optimizer": "adam_w",
            "sampler": {"strength": 0.5},
            "augmentation": {"name": "light", "strength": 2},
            "batch_size": 0,
            "amp": "half",
            "channels_last": "first",
            "postprocess": {"prior_power": "x"},
        },
        task,
    )
    assert "did you mean 'model_name'" in found["modle_name"]
    assert "resnet10t" in found["model_name"]
    assert "> 0" in found["lr"]
    assert "did you mean 'gamma'" in found["loss.gama"]
    assert "did you mean 'adamw'" in found["optimizer"]
    assert "balanced" in found["sampler"]
    assert "<= 1" in found["augmentation.strength"]
    assert ">= 1" in found["batch_size"]
    assert "bf16" in found["amp"]
    assert found["channels_last"] == "must be auto, true or false, not 'first'"
    assert found["postprocess.prior_power"]


@pytest.mark.parametrize(("given", "layout"), [({}, True), ("auto", True), (True, True), (False, False)])
def test_a_layout_that_no_timing_chose_is_channels_last(given: Any, layout: bool, task: Multiclass) -> None:
    mapping = given if given == {} else {"channels_last": given}
    assert parse_settings(mapping, task).channels_last is layout


@pytest.mark.parametrize("value", [True, math.nan, math.inf, "0.1", None, [0.1], 0.0, 101.0])
def test_a_number_must_be_a_finite_number_in_its_range(value: object, task: Multiclass) -> None:
    assert set(problems_of({"lr": value}, task)) == {"lr"}


def test_a_number_in_quotes_is_explained(task: Multiclass) -> None:
    assert "a text; write it without quotes" in problems_of({"lr": "1e-3"}, task)["lr"]


@pytest.mark.parametrize("value", [8.0, True, "8"])
def test_an_integer_must_be_an_integer(value: object, task: Multiclass) -> None:
    assert "must be an integer" in problems_of({"batch_size": value}, task)["batch_size"]


def test_an_integer_passes_for_a_float(task: Multiclass) -> None:
    weight_decay = parse_settings({"weight_decay": 1}, task).weight_decay
    assert weight_decay == 1.0
    assert isinstance(weight_decay, float)


def test_a_switch_must_be_a_bool(task: Multiclass) -> None:
    assert problems_of({"channels_last": 1}, task) == {"channels_last": "must be auto, true or false, not 1"}


def test_parameters_of_a_component_without_any_are_refused(task: Multiclass) -> None:
    assert "no parameters" in problems_of({"sampler": {"name": "none", "strength": 1}}, task)["sampler.strength"]


def test_a_loss_of_another_task_is_refused(task: Multiclass) -> None:
    class CrossEntropyOnly(Multiclass):
        losses = ("cross_entropy",)

    narrow = CrossEntropyOnly(task.target, task.labels, task.counts)
    assert "valid: cross_entropy" in problems_of({"loss": "focal"}, narrow)["loss"]


def test_dropout_that_the_model_lacks_is_refused(task: Multiclass) -> None:
    assert "vgg11" in problems_of({"model_name": "vgg11", "drop_path_rate": 0.1}, task)["drop_path_rate"]
    assert parse_settings({"model_name": "vgg11", "drop_rate": 0.1}, task).drop_rate == 0.1


def test_a_wrong_pretrained_tag_is_refused(task: Multiclass) -> None:
    assert "a1_in1k" in problems_of({"model_name": "resnet18.a1"}, task)["model_name"]
    assert parse_settings({"model_name": "resnet18.a1_in1k"}, task).model_name == "resnet18.a1_in1k"


def test_warm_up_must_be_shorter_than_the_training(task: Multiclass) -> None:
    mapping = {"lr_scheduler": {"name": "cosine", "warmup_epochs": 3}}
    with pytest.raises(SettingsError, match=r"lr_scheduler.warmup_epochs: 3 must be less than the 3 epochs"):
        parse_settings(mapping, task, epochs=3)
    assert parse_settings(mapping, task, epochs=4).lr_scheduler.params["warmup_epochs"] == 3
