"""Logits of rows, and weights on the disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from foldtune.errors import TrialFailed, WorkError
from foldtune.trainers.fitting.fit import Fit, FoldData
from foldtune.trainers.inference.predictor import InferenceOptions, predict_logits
from foldtune.trainers.networks.models import input_stats
from foldtune.trainers.networks.weights import load_weights, save_weights
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.network import create_model


@pytest.fixture
def model(settings: Callable[..., TrialSettings], task: Multiclass) -> torch.nn.Module:
    torch.manual_seed(0)
    return create_model(task, settings(), (32, 32))


def test_logits_equal_a_plain_forward_pass_in_the_order_of_the_rows(model: torch.nn.Module, fold: FoldData) -> None:
    rows = np.array([5, 0, 35, 5, 17])
    got = predict_logits(model, fold.images, rows, InferenceOptions(batch_size=2, device="cpu"))
    mean, std = (np.array(values).reshape(1, 3, 1, 1) for values in input_stats(model))
    pixels = (fold.images.array[rows].transpose(0, 3, 1, 2) / 255.0 - mean) / std
    with torch.no_grad():
        expected = model.eval()(torch.tensor(pixels, dtype=torch.float32)).numpy()
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, atol=1e-5)
    np.testing.assert_array_equal(got[0], got[3])


def test_mean_and_std_may_be_given(model: torch.nn.Module, fold: FoldData) -> None:
    rows = np.arange(4)
    own = predict_logits(model, fold.images, rows, InferenceOptions(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
    other = predict_logits(model, fold.images, rows, InferenceOptions(mean=(0.4, 0.5, 0.5), std=(0.5, 0.5, 0.5)))
    np.testing.assert_array_equal(own, predict_logits(model, fold.images, rows))
    assert np.abs(own - other).max() > 1e-3


def test_neither_mode_nor_statistics_of_the_model_change(model: torch.nn.Module, fold: FoldData) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for training in (True, False):
        model.train(training)
        predict_logits(model, fold.images, np.arange(6))
        assert model.training is training
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def test_progress_counts_rows(model: torch.nn.Module, fold: FoldData) -> None:
    seen: list[tuple[int, int]] = []
    predict_logits(model, fold.images, np.arange(10), InferenceOptions(batch_size=4), lambda *call: seen.append(call))
    assert seen == [(4, 10), (8, 10), (10, 10)]


def limit_memory(model: torch.nn.Module, images: int) -> None:
    def refuse(_: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > images:
            raise torch.OutOfMemoryError("no room")

    model.register_forward_pre_hook(refuse)


def test_a_batch_that_does_not_fit_is_halved(model: torch.nn.Module, fold: FoldData) -> None:
    rows = np.arange(30)
    expected = predict_logits(model, fold.images, rows, InferenceOptions(batch_size=16))
    limit_memory(model, 3)
    np.testing.assert_allclose(
        predict_logits(model, fold.images, rows, InferenceOptions(batch_size=16)), expected, atol=1e-5
    )


def test_a_single_image_that_does_not_fit_ends_the_trial(model: torch.nn.Module, fold: FoldData) -> None:
    limit_memory(model, 0)
    with pytest.raises(TrialFailed, match="single image"):
        predict_logits(model, fold.images, np.arange(30))


def test_workers_give_the_same_logits(model: torch.nn.Module, fold: FoldData) -> None:
    rows = np.arange(12)
    np.testing.assert_array_equal(
        predict_logits(model, fold.images, rows, InferenceOptions(batch_size=4, num_workers=1)),
        predict_logits(model, fold.images, rows, InferenceOptions(batch_size=4)),
    )


@pytest.mark.parametrize("model_name", ["test_resnet", "test_vit"])
def test_saved_weights_bring_the_best_epoch_back(
    model_name: str, start: Callable[..., Fit], settings: Callable[..., TrialSettings], tmp_path: Path
) -> None:
    training = start(model_name=model_name, ema_decay=0.5)
    training.step()
    save_weights(training.best_weights(), tmp_path / "weights.safetensors")
    loaded = replace(settings(model_name=model_name, pretrained=True, ema_decay=0.5), pretrained=False)
    model = create_model(training.task, loaded, (32, 32))
    model.load_state_dict(load_weights(tmp_path / "weights.safetensors"))
    again = predict_logits(model, training.data.images, training.data.valid_rows)
    np.testing.assert_array_equal(again, training.valid_logits)


def test_tied_weights_are_saved_each(tmp_path: Path) -> None:
    tied = torch.arange(4.0)
    save_weights({"a": tied, "b": tied}, tmp_path / "w.safetensors")
    torch.testing.assert_close(load_weights(tmp_path / "w.safetensors"), {"a": tied, "b": tied})


def test_damaged_or_missing_weights_are_named(tmp_path: Path) -> None:
    (tmp_path / "torn.safetensors").write_bytes(b"\x10\x00")
    for name in ("torn.safetensors", "absent.safetensors"):
        with pytest.raises(WorkError, match=name):
            load_weights(tmp_path / name)
