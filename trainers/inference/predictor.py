"""Logits of a trained network on the rows of an image source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from foldtune.errors import TrialFailed
from foldtune.trainers.arrays.spill import SpilledArray
from foldtune.trainers.components import Component
from foldtune.trainers.data.cache import ImageSource
from foldtune.trainers.loading.crops import evaluation_crop
from foldtune.trainers.loading.loader import Batches
from foldtune.trainers.loading.normalize import Normalize
from foldtune.trainers.loading.tta import mean_output, views
from foldtune.trainers.networks.models import input_stats
from foldtune.trainers.optim.precision import choose_precision
from foldtune.trainers.parallel.microbatch import is_out_of_memory, slices
from foldtune.trainers.runtime import choose_device, free_gpu_cache

Logits = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]
Compact = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]

_PIXELS = 64 * 224 * 224
"""Of a batch, about, whatever the size of the images: without gradients more of them fit than in training."""


def eval_batch(most: int, image_size: tuple[int, int], trained: int = 1) -> int:
    """Images of (height, width) in a batch without gradients: at most `most`, at least the `trained` that fit with."""
    height, width = image_size
    return max(trained, min(most, _PIXELS // (height * width)))


def predict_logits(
    model: nn.Module,
    source: ImageSource,
    rows: npt.NDArray[np.int64],
    *,
    batch_size: int = 64,
    device: str | None = None,
    amp: str = "auto",
    channels_last: bool = True,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    num_workers: int = 0,
    tta: str = "none",
    crop: Component | None = None,
    progress: Progress | None = None,
    compact: Compact | None = None,
) -> npt.NDArray[Any]:
    """Outputs (len(rows), …) float32 of `model` in evaluation mode, in the order of `rows` (at least one).

    The model is moved to `device` and keeps its mode. `mean` and `std` (0–1, a channel) default to the
    model's own. A batch that does not fit into memory is halved. `progress` gets (done, all) a batch. `tta` names
    views of `trainers.loading.tta`, whose mean is returned; V views cost V times as much. `crop` is the one that the
    model was trained with, whose fixed form is applied; None is none.
    `compact` makes of each batch's outputs what is kept; where
    that is much (maps) it is mapped from a file.

    Raises:
        TrialFailed: a single image does not fit into memory.
    """
    predictor = Predictor(
        source,
        rows,
        batch_size=batch_size,
        device=choose_device(device),
        amp=amp,
        channels_last=channels_last,
        num_workers=num_workers,
        tta=tta,
        crop=crop,
        compact=compact,
    )
    try:
        return predictor(model, mean=mean, std=std, progress=progress)
    finally:
        predictor.close()


class Predictor:
    """The rows of a source, ready for one model after another; its workers live until `close`."""

    def __init__(
        self,
        source: ImageSource,
        rows: npt.NDArray[np.int64],
        *,
        batch_size: int,
        device: torch.device,
        amp: str,
        channels_last: bool,
        num_workers: int,
        tta: str = "none",
        crop: Component | None = None,
        compact: Compact | None = None,
    ) -> None:
        self._views = views(tta)
        self._compact = compact
        self._count = len(rows)
        self._size = batch_size
        self._device = device
        self._precision = choose_precision(amp, device)
        self._channels_last = channels_last
        self._batches = Batches(
            source,
            np.zeros(len(source), dtype=np.int64),  # there are no targets
            rows,
            batch_size=batch_size,
            augmentation=None if crop is None else evaluation_crop(crop, source.shape[1:3]),
            num_workers=num_workers,
            pin_memory=device.type == "cuda",
        )

    def __call__(
        self,
        model: nn.Module,
        *,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        progress: Progress | None = None,
    ) -> npt.NDArray[Any]:
        """As `predict_logits`."""
        own_mean, own_std = input_stats(model)
        normalize = Normalize(mean or own_mean, std or own_std, self._device, channels_last=self._channels_last)
        layout = torch.channels_last if self._channels_last else torch.contiguous_format
        model.to(device=self._device, memory_format=layout)  # type: ignore[call-overload]

        def plain(images: Tensor) -> Tensor:
            with self._precision.autocast():
                output: Tensor = model(normalize(images))
            return output.float()

        def forward(images: Tensor) -> npt.NDArray[Any]:
            outputs: npt.NDArray[Any] = mean_output(plain, images, self._views).cpu().numpy()
            return outputs if self._compact is None else self._compact(outputs)

        training = model.training
        model.eval()
        gathered = SpilledArray(self._count)
        done = 0
        try:
            with torch.inference_mode():
                for images, _, rows in self._batches.epoch(0):
                    for part in self._in_parts(forward, images.to(self._device, non_blocking=True)):
                        gathered.add(part)
                    done += len(rows)
                    if progress is not None:
                        progress(done, self._count)
        finally:
            model.train(training)
        return gathered.whole()

    def close(self) -> None:
        """End the worker processes."""
        self._batches.close()

    def _in_parts(self, forward: Callable[[Tensor], npt.NDArray[Any]], images: Tensor) -> list[npt.NDArray[Any]]:
        """Outputs of the batch, in parts as large as memory allows."""
        while True:
            try:
                return [forward(images[rows]) for rows in slices(len(images), self._size)]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0] if str(error) else "no memory"
            # Only here, with the exception and its frames gone, can the activations be freed.
            free_gpu_cache(self._device)
            self._size = min(self._size, len(images)) // 2
            if self._size < 1:
                raise TrialFailed(f"out of memory on a single image ({reason}); use a smaller model or image")
