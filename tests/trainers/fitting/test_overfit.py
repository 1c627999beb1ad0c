"""A few batches learned by heart, and the first loss against chance."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foldtune.trainers.fitting.fit_types import FoldData, TrainSpec
from foldtune.trainers.fitting.overfit import MAX_PASSES, Overfit, overfit, rows_as_fold
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass

Settings = Callable[..., TrialSettings]


@pytest.fixture
def spec(task: Multiclass, make_fold: Callable[..., FoldData], settings: Settings) -> Callable[..., TrainSpec]:
    def make(**changes: Any) -> TrainSpec:
        return TrainSpec(settings(**changes), task, rows_as_fold(make_fold(12, 0)), "accuracy", 2, 0)

    return make


def test_rows_are_learned_by_heart_and_chance_is_the_logarithm(spec: Callable[..., TrainSpec]) -> None:
    seen: list[int] = []
    found = overfit(spec(lr=3e-3, drop_rate=0.5, mixup=0.4), 60.0, lambda passes, loss: seen.append(passes))
    assert found.chance == pytest.approx(math.log(3), rel=1e-6)
    assert found.first == pytest.approx(found.chance, rel=0.5)
    assert found.learned
    assert not found.collapsed
    assert seen == list(range(1, len(found.losses) + 1))
    assert len(seen) < MAX_PASSES


def test_a_rate_that_changes_nothing_learns_nothing(
    spec: Callable[..., TrainSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldtune.trainers.fitting.overfit.MAX_PASSES", 10)
    found = overfit(spec(model_name="test_vit", batch_size=12, lr=1e-12, weight_decay=0.0), 60.0)
    assert len(found.losses) == 10
    assert not found.learned
    assert found.losses == pytest.approx([found.first] * 10, rel=1e-5)  # one batch, and no statistics of batches


def test_one_prediction_for_rows_whose_labels_differ_is_a_collapse(
    task: Multiclass, make_fold: Callable[..., FoldData], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foldtune.trainers.fitting.overfit.MAX_PASSES", 10)
    data = rows_as_fold(make_fold(12, 0))
    data.images.array[:] = 90  # type: ignore[attr-defined]
    found = overfit(TrainSpec(settings(lr=3e-3), task, data, "accuracy", 2, 0), 60.0)
    assert found.collapsed
    assert not found.learned
    assert len(np.unique(found.predictions)) == 1


def test_a_loss_that_cannot_reach_zero_is_learned_by_its_labels() -> None:
    found = Overfit(1.1, 1.0, (0.9,), 0.96, False, np.zeros(3))
    assert found.learned
