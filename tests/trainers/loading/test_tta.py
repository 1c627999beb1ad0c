"""Test-time augmentation: which views, their mean, its cost, and that validation and prediction agree on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from foldtune.errors import SettingsError
from foldtune.trainers.fitting.fit import Fit, FoldData
from foldtune.trainers.inference.predictor import InferenceOptions, predict_logits
from foldtune.trainers.inference.trained import trained_logits
from foldtune.trainers.loading.tta import TTA
from foldtune.trainers.networks.models import build_model
from foldtune.trainers.networks.weights import save_weights
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.parsing import parse_settings

COSTS = {"none": 1, "hflip": 2, "flips": 4, "brightness": 3, "all": 6}
ROWS = np.array([5, 0, 17, 30])


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return build_model("test_resnet", 3)


def shown_by_hand(name: str, images: np.ndarray) -> list[np.ndarray]:
    """The views, computed by numpy."""
    flips = {
        "none": [images],
        "hflip": [images, images[:, :, ::-1]],
        "flips": [images, images[:, :, ::-1], images[:, ::-1], images[:, ::-1, ::-1]],
    }
    bright = [np.clip(np.rint(images * np.float32(factor)), 0, 255).astype(np.uint8) for factor in (0.9, 1.1)]
    return {**flips, "brightness": [images, *bright], "all": [*flips["flips"], *bright]}[name]


@pytest.mark.parametrize("name", TTA)
def test_the_output_is_the_mean_of_the_views_logits(name: str, model: nn.Module, fold: FoldData) -> None:
    got = predict_logits(model, fold.images, ROWS, InferenceOptions(batch_size=3, tta=name))
    outputs = []
    for view in shown_by_hand(name, fold.images.array[ROWS]):
        source = type(fold.images)(np.ascontiguousarray(view), [])
        outputs.append(predict_logits(model, source, np.arange(len(ROWS))))
    assert len(outputs) == COSTS[name]
    np.testing.assert_allclose(got, np.mean(outputs, axis=0), atol=1e-5)
    if name != "none":
        assert np.abs(got - outputs[0]).max() > 1e-3


def test_brightness_neither_wraps_around_nor_leaves_bytes() -> None:
    images = torch.tensor([0, 100, 101, 250, 255], dtype=torch.uint8).view(1, 1, -1, 1)
    dark, bright = (view.apply(images).flatten() for view in TTA["brightness"][1:])
    assert dark.tolist() == [0, 90, 91, 225, 230]
    assert bright.tolist() == [0, 110, 111, 255, 255]
    assert bright.dtype == torch.uint8
    assert images.flatten().tolist() == [0, 100, 101, 250, 255]


@pytest.mark.parametrize("name", TTA)
def test_the_cost_is_the_number_of_views(name: str, model: nn.Module, fold: FoldData) -> None:
    batches: list[int] = []
    model.register_forward_pre_hook(lambda _, inputs: batches.append(len(inputs[0])))
    predict_logits(model, fold.images, ROWS, InferenceOptions(batch_size=2, tta=name))
    assert batches == [2] * (2 * COSTS[name])
    assert len(TTA[name]) == COSTS[name]


def test_views_are_different(fold: FoldData) -> None:
    images = torch.from_numpy(fold.images.array[:2])
    assert len({view.apply(images).contiguous().numpy().tobytes() for view in TTA["all"]}) == 6


def test_maps_are_mirrored_back(fold: FoldData) -> None:
    """Of a network that works on each pixel alone, mirrored views change nothing."""
    torch.manual_seed(0)
    pixelwise = nn.Conv2d(3, 1, 1)
    plain = predict_logits(pixelwise, fold.images, ROWS)
    assert plain.shape == (4, 1, 32, 32)
    np.testing.assert_allclose(
        predict_logits(pixelwise, fold.images, ROWS, InferenceOptions(tta="flips")), plain, atol=1e-6
    )


def test_the_log_loss_is_not_above_the_views_mean(model: nn.Module, fold: FoldData) -> None:
    model.fc.weight.data *= 30  # confident and often wrong
    targets = torch.from_numpy(fold.targets[ROWS])

    def loss(logits: np.ndarray) -> float:
        return float(nn.functional.cross_entropy(torch.from_numpy(logits), targets))

    views = [np.ascontiguousarray(view) for view in shown_by_hand("all", fold.images.array[ROWS])]
    single = [loss(predict_logits(model, type(fold.images)(view, []), np.arange(4))) for view in views]
    assert loss(predict_logits(model, fold.images, ROWS, InferenceOptions(tta="all"))) <= np.mean(single)


@pytest.mark.parametrize("name", ["flips", "brightness"])
def test_validation_uses_it_and_prediction_agrees(name: str, start: Callable[..., Fit], tmp_path: Path) -> None:
    training, plain = start(tta=name), start()
    report, plain_report = training.step(), plain.step()
    assert report.metrics["train_loss"] == plain_report.metrics["train_loss"]
    data, model = training.data, training._learner.model
    expected = predict_logits(model, data.images, data.valid_rows, InferenceOptions(tta=name))
    np.testing.assert_array_equal(training.valid_logits, expected)
    assert np.abs(training.valid_logits - plain.valid_logits).max() > 1e-4
    path = tmp_path / "weights.safetensors"
    save_weights(training.best_weights(), path)
    args = (training.task, training.settings, path, data.images)
    unchanged = replace(InferenceOptions.of_settings(training.task, training.settings), tta="none")
    np.testing.assert_array_equal(trained_logits(*args, data.valid_rows), training.valid_logits)
    np.testing.assert_array_equal(trained_logits(*args, data.valid_rows, unchanged), plain.valid_logits)
    assert len(trained_logits(*args)) == len(data.images)


def test_a_batch_that_does_not_fit_is_halved_with_all_its_views(model: nn.Module, fold: FoldData) -> None:
    expected = predict_logits(model, fold.images, np.arange(8), InferenceOptions(tta="flips"))

    def refuse(_: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > 3:
            raise torch.OutOfMemoryError("no room")

    model.register_forward_pre_hook(refuse)
    np.testing.assert_allclose(
        predict_logits(model, fold.images, np.arange(8), InferenceOptions(tta="flips")), expected, atol=1e-5
    )


def test_an_unknown_one_is_refused_with_the_nearest(model: nn.Module, fold: FoldData, task: Multiclass) -> None:
    with pytest.raises(ValueError, match="unknown tta 'brightnes'; did you mean 'brightness'"):
        predict_logits(model, fold.images, ROWS, InferenceOptions(tta="brightnes"))
    with pytest.raises(SettingsError, match="tta: unknown value 'h_flip'; did you mean 'hflip'"):
        parse_settings({"tta": "h_flip"}, task)
