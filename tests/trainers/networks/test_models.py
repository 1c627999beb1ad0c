from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from timm.layers import DropPath

from foldtune.errors import SettingsError, TrialFailed
from foldtune.trainers.fitting.fit import Fit
from foldtune.trainers.networks.models import build_model, count_params_m, has_batch_norm, input_stats
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.network import create_model

Make = Callable[..., TrialSettings]


def test_head_and_parameters() -> None:
    model = build_model("test_resnet", 5)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert count_params_m(model) == sum(p.numel() for p in model.parameters()) / 1e6


def test_drop_rate_reaches_the_model() -> None:
    for rate in (0.0, 0.3):
        model = build_model("test_byobnet", 3, drop_rate=rate)
        assert [m.p for m in model.modules() if isinstance(m, torch.nn.Dropout)] == [rate]
    assert build_model("test_resnet", 3, drop_rate=0.3).drop_rate == 0.3


def test_drop_path_rate_reaches_the_model() -> None:
    model = build_model("test_resnet", 3, drop_path_rate=0.4)
    probabilities = [m.drop_prob for m in model.modules() if isinstance(m, DropPath)]
    assert max(probabilities) == pytest.approx(0.4)
    without = build_model("test_resnet", 3, drop_path_rate=0.0)
    assert not any(getattr(m, "drop_prob", 0) for m in without.modules())


def test_dropout_that_the_model_lacks_is_an_error_here_too() -> None:
    with pytest.raises(SettingsError, match="drop_path_rate"):
        build_model("vgg11", 3, drop_path_rate=0.1)


def test_pretrained_weights_that_are_unavailable_end_the_trial(monkeypatch: Any) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TrialFailed, match=r"test_resnet.*pretrained: false.*HF_HOME"):
        build_model("test_resnet", 3, pretrained=True)


def test_a_transformer_is_set_to_the_size_of_the_images(settings: Make, task: Multiclass) -> None:
    model = create_model(task, settings(model_name="test_vit"), (32, 48))
    assert model(torch.zeros(1, 3, 32, 48)).shape == (1, 3)


def test_a_size_that_the_model_cannot_take_ends_the_trial(settings: Make, task: Multiclass) -> None:
    with pytest.raises(TrialFailed, match=r"test_vit.*33x33"):
        create_model(task, settings(model_name="test_vit"), (33, 33))


def test_the_input_is_normalised_as_in_pretraining(start: Callable[..., Fit]) -> None:
    seen: list[torch.Tensor] = []
    fit = start(model_name="test_byobnet", batch_size=12)
    fit._learner.model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    fit.step()
    rows = np.concatenate(fit.data.images.log[:2])
    mean, std = (np.array(values, dtype=np.float32) for values in input_stats(fit._learner.model))
    expected = (fit.data.images.array[rows] / 255.0 - mean) / std
    assert mean.tolist() == pytest.approx([0.485, 0.456, 0.406])
    assert torch.cat(seen[:2]).permute(0, 2, 3, 1).numpy() == pytest.approx(expected, abs=1e-5)


def test_batch_norm_is_recognised() -> None:
    assert has_batch_norm(build_model("test_resnet", 3))
    assert not has_batch_norm(build_model("test_vit", 3))
