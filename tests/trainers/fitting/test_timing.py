"""Timed passes of a training, and the format that they choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from foldtune.errors import TrialFailed
from foldtune.trainers import runtime
from foldtune.trainers.fitting import formats
from foldtune.trainers.fitting.fit_types import FoldData, TrainSpec
from foldtune.trainers.fitting.formats import Format, fastest, time_formats
from foldtune.trainers.fitting.overfit import rows_as_fold
from foldtune.trainers.fitting.timing import time_training
from foldtune.trainers.optim.precision import choose_precision, computed
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass

SINGLE, HALF, FIRST = Format("off"), Format("bf16"), Format("off", channels_last=False)


@pytest.fixture
def spec(task: Multiclass, make_fold: Callable[..., FoldData], settings: Callable[..., TrialSettings]) -> TrainSpec:
    return TrainSpec(settings(), task, rows_as_fold(make_fold(12, 0)), "accuracy", 1, 0)


def test_a_timing_counts_images_and_memory(spec: TrainSpec) -> None:
    found = time_training(spec, "cpu")
    assert found.images_per_s == pytest.approx(1 / found.train_s)
    assert found.valid_s > 0
    assert found.start_s > 0
    assert found.micro_batch_size == 8
    assert 0.1 < found.params_m < 1
    assert found.memory_gb > 0.05
    assert found.device == "cpu"


def test_formats_are_timed_in_turns_but_those_that_fail_or_are_far_behind(
    spec: TrainSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Format] = []

    def timed(given: TrainSpec, device: str | None, *, min_s: float) -> Any:
        seen.append(Format(given.settings.amp, given.settings.channels_last))
        if given.settings.amp == "bf16":
            raise TrialFailed("not here")
        busy = 1.0 if len(seen) > 3 else 0.9  # the machine has other work at first
        return replace(time_training(spec, device), train_s=1 / busy / (100.0 if seen[-1] == SINGLE else 60.0))

    monkeypatch.setattr(formats, "time_training", timed)
    speeds = time_formats(spec, [SINGLE, HALF, FIRST], "cpu")
    assert seen == [SINGLE, HALF, FIRST, SINGLE, HALF]
    assert speeds == pytest.approx({SINGLE: 100.0, FIRST: 54.0})


@pytest.mark.parametrize(
    ("speeds", "chosen"),
    [
        ({}, SINGLE),
        ({SINGLE: 100.0, HALF: 109.9, FIRST: 90.0}, SINGLE),
        ({SINGLE: 100.0, HALF: 110.1, FIRST: 109.0}, HALF),
        ({SINGLE: 100.0, HALF: 120.0, FIRST: 150.0}, FIRST),
        ({HALF: 5.0}, HALF),  # the default does not run here
    ],
)
def test_a_format_must_gain_a_tenth_on_the_default(speeds: dict[Format, float], chosen: Format) -> None:
    assert fastest(speeds, SINGLE) == chosen


def test_a_cpu_offers_bfloat16_where_it_computes_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    for flags, offered in {"sse2 avx512f": ("off",), "sse2 amx_bf16": ("off", "bf16")}.items():
        monkeypatch.setattr(runtime, "_cpu", lambda flags=flags: ("A CPU", frozenset(flags.split())))
        assert computed(cpu) == offered
        assert runtime.device_name(cpu) == "A CPU"
        assert choose_precision("auto", cpu).dtype is None
    assert choose_precision("bf16", cpu).dtype is torch.bfloat16
    assert choose_precision("fp16", cpu).dtype is None
