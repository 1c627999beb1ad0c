"""Weights of rows that only ever train, against losses computed by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from foldtune.trainers.fitting.fit import Fit, TrainSpec
from foldtune.trainers.losses import LOSSES
from foldtune.trainers.losses.module import WeightedRows
from foldtune.trainers.settings import settings_to_dict
from foldtune.trainers.tasks.parsing import parse_settings


def test_a_loss_is_that_of_its_row_times_the_weight() -> None:
    logits, targets = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 1, 0])
    weights = torch.tensor([1.0, 0.5, 0.25, 1.0, 2.0])
    plain = LOSSES["cross_entropy"]().build(np.array([2, 2, 1]))
    by_hand = -torch.log_softmax(logits, dim=1)[torch.arange(5), targets] * weights
    torch.testing.assert_close(WeightedRows(plain)(logits, (targets, weights)), by_hand)


def test_weights_of_1_train_what_no_weights_train_and_others_train_otherwise(
    task: Any, fold: Any, settings: Any
) -> None:
    data = fold
    marked = np.where(np.arange(len(data.ids)) < 8, 1.0, 0.0)

    def weights_after(weighted: np.ndarray[Any, Any] | None, factor: float) -> torch.Tensor:
        spec = TrainSpec(settings(extra_weight=factor), task, replace(data, extra_weights=weighted), "loss", 1, 0)
        training = Fit(spec, device="cpu")
        training.step()
        return torch.cat([each.flatten().float() for each in training.best_weights().values()])

    plain = weights_after(None, 1.0)
    torch.testing.assert_close(weights_after(marked, 1.0), plain, rtol=0, atol=0)
    assert not torch.equal(weights_after(marked, 0.25), plain)
    torch.testing.assert_close(weights_after(marked * 0.5, 0.5), weights_after(marked, 0.25), rtol=0, atol=0)


def test_the_weight_is_a_setting_that_earlier_checkpoints_need_not_have(task: Any) -> None:
    assert "extra_weight" not in settings_to_dict(parse_settings({}, task))
    assert parse_settings({"extra_weight": 0.3}, task).extra_weight == 0.3
