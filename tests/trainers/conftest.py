"""Small in-memory data and quick models for the tests of one training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.parsing import parse_settings

SIZE = 32
CLASSES = 3


@dataclass(frozen=True)
class MemoryImages:
    """An image source that keeps an array and remembers which rows were read."""

    array: npt.NDArray[np.uint8]
    log: list[npt.NDArray[np.int64]]

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.array.shape  # type: ignore[return-value]

    def __len__(self) -> int:
        return len(self.array)

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint8]:
        self.log.append(np.array(rows))
        return self.array[rows]


@pytest.fixture
def task() -> Multiclass:
    """Three classes, 10 : 5 : 5."""
    return Multiclass("label", ("a", "b", "c"), (10, 5, 5))


@pytest.fixture
def make_fold() -> Callable[..., FoldData]:
    """make_fold(train, valid) -> that many noisy images; brightness depends on the class, half are class 0."""

    def make(train: int = 24, valid: int = 12, size: int = SIZE) -> FoldData:
        rng = np.random.default_rng(7)
        targets = np.arange(train + valid) % 4 % CLASSES
        noise = rng.integers(0, 120, (train + valid, size, size, 3))
        images = (noise + 60 * targets[:, None, None, None]).astype(np.uint8)
        rows = np.arange(train + valid)
        return FoldData(MemoryImages(images, []), targets, rows.astype(str), rows[:train], rows[train:])

    return make


@pytest.fixture
def fold(make_fold: Callable[..., FoldData]) -> FoldData:
    return make_fold()


@pytest.fixture
def settings(task: Multiclass) -> Callable[..., TrialSettings]:
    """settings(lr=…) -> the quickest configuration, without augmentation, with these changes."""

    def make(**changes: Any) -> TrialSettings:
        quick = {"model_name": "test_resnet", "batch_size": 8, "augmentation": "none"}
        return parse_settings(quick | changes, task)

    return make


@pytest.fixture
def start(task: Multiclass, fold: FoldData, settings: Callable[..., TrialSettings]) -> Callable[..., Fit]:
    """start(lr=…, epochs=…, data=…) -> a Fit that has not run yet."""

    def make(
        *,
        epochs: int = 2,
        seed: int = 0,
        metric: str = "accuracy",
        data: FoldData | None = None,
        **changes: Any,
    ) -> Fit:
        return Fit(TrainSpec(settings(**changes), task, data or fold, metric, epochs, seed), device="cpu")

    return make
