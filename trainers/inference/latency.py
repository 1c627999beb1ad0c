"""How long a network takes for an image, measured here and now."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.inference.predictor import Predictor
from foldtune.trainers.loading.crops import as_evaluated
from foldtune.trainers.runtime import choose_device
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
    """Milliseconds an image of a batch, from the prepared pixels to the logits, with the settings' crop and views.

    Reading and decoding files is not in it; weights play no part, so they are drawn at random. The least of five
    passes after one to warm up: whatever else the machine does only ever adds.

    Args:
        image_size: height and width of the prepared images.
        device: as `trainers.runtime.choose_device` takes it.
    """
    source = _Noise((batch_size, *image_size, 3))
    model = create_model(task, without_pretrained(settings), image_size)
    predictor = Predictor(
        source,
        np.arange(batch_size),
        batch_size=batch_size,
        device=choose_device(device),
        amp=settings.amp,
        channels_last=settings.channels_last,
        num_workers=0,
        tta=settings.tta,
        crop=as_evaluated(settings.crop, whole=task.judges_whole_images),
    )
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
    """Images (N, H, W, 3) of nothing, at once in memory."""

    shape: tuple[int, int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        return np.random.default_rng(0).integers(0, 256, (len(rows), *self.shape[1:]), dtype=np.uint8)
