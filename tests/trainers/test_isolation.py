"""Nothing of one training reaches the next one in the same process."""

from __future__ import annotations

import hashlib
import os
import pickle
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldtune.trainers.fitting.fit import EpochReport, Fit, FoldData, TrainSpec
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass

Start = Callable[..., Fit]
LIVELY: dict[str, Any] = {
    "drop_rate": 0.2,
    "drop_path_rate": 0.2,
    "augmentation": "light",
    "sampler": "balanced",
    "ema_decay": 0.5,
}


def digest(training: Fit, reports: Sequence[EpochReport]) -> str:
    weights = b"".join(value.numpy().tobytes() for value in training.best_weights().values())
    values = [sorted(report.metrics.items()) for report in reports]
    return hashlib.sha256(training.valid_logits.tobytes() + weights + repr(values).encode()).hexdigest()


def test_a_training_leaves_the_process_as_it_was(start: Start) -> None:
    def global_state() -> tuple[Any, ...]:
        numpy_state = np.random.get_state()
        return (
            random.getstate(),
            numpy_state[1].tobytes(),
            numpy_state[2],
            torch.get_rng_state().numpy().tobytes(),
            torch.get_default_dtype(),
            torch.is_grad_enabled(),
            torch.are_deterministic_algorithms_enabled(),
        )

    before = global_state()
    start(**LIVELY).step()
    assert global_state() == before


def run_lively(task: Multiclass, settings: TrialSettings, fold: FoldData, seed: int) -> str:
    training = Fit(TrainSpec(settings, task, fold, metric="loss", epochs=2, seed=seed), device="cpu")
    return digest(training, training.run())


_IN_A_FRESH_PROCESS = """
import pickle, sys
import importlib.util
given = pickle.load(sys.stdin.buffer)
spec = importlib.util.spec_from_file_location("fresh", given["file"])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
images = module.PlainImages(given["array"])
fold = module.FoldData(images, **given["rows"])
sys.stdout.write(module.run_lively(given["task"], given["settings"], fold, seed=1))
"""


class PlainImages:
    """The fold's images without their log, so that another process can be given them."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.shape = array.shape

    def __len__(self) -> int:
        return len(self.array)

    def read(self, rows: Any) -> Any:
        return self.array[rows]


@pytest.mark.slow
def test_a_later_training_in_a_process_equals_one_in_a_fresh_process(
    settings: Callable[..., TrialSettings], task: Multiclass, fold: FoldData
) -> None:
    lively, other = settings(**LIVELY), settings(**LIVELY, lr=0.01)
    torch.manual_seed(123)
    first, later, again = (
        run_lively(task, chosen, fold, seed) for chosen, seed in [(lively, 0), (other, 1), (lively, 0)]
    )
    assert first == again
    assert first != later
    rows = {name: getattr(fold, name) for name in ("targets", "ids", "train_rows", "valid_rows")}
    given = {"file": __file__, "array": fold.images.array, "rows": rows, "task": task, "settings": other}
    fresh = subprocess.run(
        [sys.executable, "-c", _IN_A_FRESH_PROCESS],
        input=pickle.dumps(given),
        capture_output=True,
        check=True,
        cwd=Path(__file__).resolve().parents[2],
        env={**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())},
    )
    assert fresh.stdout.decode() == later
