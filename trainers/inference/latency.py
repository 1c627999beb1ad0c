"""Measured inference time of a network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.inference.options import InferenceOptions
from foldtune.trainers.inference.predictor import Predictor
from foldtune.trainers.settings import TrialSettings, without_pretrained
from foldtune.trainers.tasks.base import Task
from foldtune.trainers.tasks.network import create_model

_PASSES = 5


def inference_time_ms(
    task: Task,
    settings: TrialSettings,
    image_size: tuple[int, int],
    *,
    batch_size: int = 32,
    device: str | None = None,
) -> float:
    """Return the milliseconds an image from prepared pixels to logits, with the settings' crop and views.

    Reading and decoding of files are not included; weights do not matter, so they are random. The minimum of five
    passes after one to warm up: other work of the machine only ever adds.

    Args:
        task: task of the network.
        settings: settings of the network.
        image_size: (height, width) of the prepared images.
        batch_size: images in a batch.
        device: as `trainers.runtime.choose_device` takes it.
    """
    source = _Noise((batch_size, *image_size, 3))
    model = create_model(task, without_pretrained(settings), image_size)
    options = replace(InferenceOptions.of_settings(task, settings), batch_size=batch_size, device=device, quantize=None)
    predictor = Predictor(source, np.arange(batch_size), options)
    try:
        predictor(model)
        times = []
        for _ in range(_PASSES):
            start = perf_counter()
            predictor(model)  # waits for a GPU: its outputs come back as NumPy arrays
            times.append(perf_counter() - start)
    finally:
        predictor.close()
    return 1000 * min(times) / batch_size


@dataclass(frozen=True)
class _Noise:
    """Random images (N, H, W, 3)."""

    shape: tuple[int, int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        return np.random.default_rng(0).integers(0, 256, (len(rows), *self.shape[1:]), dtype=np.uint8)
