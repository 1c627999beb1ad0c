"""Logits of a network on the rows of an image source, and the options under which it is applied."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from foldtune.errors import TrialFailed
from foldtune.trainers.arrays.lazy import SpilledArray
from foldtune.trainers.components import Component
from foldtune.trainers.images.cache import ImageSource
from foldtune.trainers.loading.crops import as_evaluated, evaluation_crop
from foldtune.trainers.loading.loader import Batches, BatchReader
from foldtune.trainers.loading.tta import Normalize, mean_output, views
from foldtune.trainers.networks.models import input_stats
from foldtune.trainers.optim.precision import choose_precision
from foldtune.trainers.parallel.microbatch import is_out_of_memory, slices
from foldtune.trainers.runtime import choose_device, free_gpu_cache
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.base import Task

Quantize: TypeAlias = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


@dataclass(frozen=True)
class InferenceOptions:
    """Options of inference.

    Attributes:
        batch_size: images in a batch, >= 1; a batch that does not fit into memory is halved.
        device: torch device such as "cuda:0"; None is the first GPU, or the CPU where there is none.
        amp: mixed precision, as ``trainers.optim.optimizers.choose_precision`` takes it.
        num_workers: loader processes; 0 loads in this process.
        tta: name of the test-time augmentation (``trainers.loading.tta``); V views cost V times as much.
        crop: crop of the training, applied in its fixed form; None is none.
        quantize: conversion of each batch's float32 outputs to those that are kept; None keeps them.
        mean: mean of each channel in [0, 1]; None is the model's own.
        std: standard deviation of each channel in [0, 1]; None is the model's own.
    """

    batch_size: int = 64
    device: str | None = None
    amp: str = "auto"
    channels_last: bool = True
    num_workers: int = 0
    tta: str = "none"
    crop: Component | None = None
    quantize: Quantize | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @classmethod
    def of_settings(cls, task: Task, settings: TrialSettings) -> Self:
        """Return the options under which a training with `settings` validates; the machine's are at their defaults."""
        return cls(
            amp=settings.amp,
            channels_last=settings.channels_last,
            tta=settings.tta,
            crop=as_evaluated(settings.crop, whole=task.has_spatial_targets),
            quantize=task.quantize_outputs,
        )


Progress = Callable[[int, int], None]

_MAX_PIXELS = 64 * 224 * 224
"""About the pixels of a batch, whatever the size of its images: without gradients more fit than in training."""
_DEFAULTS = InferenceOptions()


def eval_batch_size(max_size: int, image_size: tuple[int, int], min_size: int = 1) -> int:
    """Return the images of a batch without gradients, from `min_size` to `max_size`, by their (height, width)."""
    height, width = image_size
    return max(min_size, min(max_size, _MAX_PIXELS // (height * width)))


def predict_logits(
    model: nn.Module,
    source: ImageSource,
    rows: npt.NDArray[np.int64],
    options: InferenceOptions = _DEFAULTS,
    progress: Progress | None = None,
) -> npt.NDArray[Any]:
    """Return the outputs (len(rows), …) of `model` in evaluation mode, float32 or as `options.quantize` gives them.

    A large array is mapped from a temporary file.

    Args:
        model: network, which is moved to the device and keeps its mode.
        rows: rows of the source, at least one, in any order.
        progress: called with (rows done, all rows) after each batch.

    Raises:
        TrialFailed: a single image does not fit into memory.
    """
    with closing(Predictor(source, rows, options)) as predictor:
        return predictor(model, progress)


class Predictor:
    """Inference of one model after another on the same rows; its loader processes live until `close`."""

    def __init__(self, source: ImageSource, rows: npt.NDArray[np.int64], options: InferenceOptions) -> None:
        self._options = options
        self._views = views(options.tta)
        self._rows = len(rows)
        self._batch_size = options.batch_size
        self._device = choose_device(options.device)
        self._precision = choose_precision(options.amp, self._device)
        crop = None if options.crop is None else evaluation_crop(options.crop, source.shape[1:3])
        self._batches = Batches(
            BatchReader(source, np.zeros(len(source), dtype=np.int64), crop),  # there are no targets
            rows,
            batch_size=options.batch_size,
            num_workers=options.num_workers,
            pin_memory=self._device.type == "cuda",
        )

    def __call__(self, model: nn.Module, progress: Progress | None = None) -> npt.NDArray[Any]:
        """Return the outputs as `predict_logits`."""
        forward = self._forward(model)
        outputs = SpilledArray(self._rows)
        done = 0
        training = model.training
        model.eval()
        try:
            with torch.inference_mode():
                for images, _, rows in self._batches.epoch(0):
                    for part in self._in_parts(forward, images.to(self._device, non_blocking=True)):
                        outputs.append(part)
                    done += len(rows)
                    if progress is not None:
                        progress(done, self._rows)
        finally:
            model.train(training)
        return outputs.to_array()

    def close(self) -> None:
        """End the loader processes."""
        self._batches.close()

    def _forward(self, model: nn.Module) -> Callable[[Tensor], npt.NDArray[Any]]:
        """Return the function from a batch of images to the outputs to keep; the model is moved to the device."""
        options, (own_mean, own_std) = self._options, input_stats(model)
        mean, std = options.mean or own_mean, options.std or own_std
        normalize = Normalize(mean, std, self._device, channels_last=options.channels_last)
        layout = torch.channels_last if options.channels_last else torch.contiguous_format
        model.to(device=self._device, memory_format=layout)  # type: ignore[call-overload]

        def plain(images: Tensor) -> Tensor:
            with self._precision.autocast():
                output: Tensor = model(normalize(images))
            return output.float()

        def forward(images: Tensor) -> npt.NDArray[Any]:
            outputs: npt.NDArray[Any] = mean_output(plain, images, self._views).cpu().numpy()
            return outputs if options.quantize is None else options.quantize(outputs)

        return forward

    def _in_parts(self, forward: Callable[[Tensor], npt.NDArray[Any]], images: Tensor) -> list[npt.NDArray[Any]]:
        """Return the outputs of a batch, in parts as large as memory allows."""
        while True:
            try:
                return [forward(images[rows]) for rows in slices(len(images), self._batch_size)]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0] if str(error) else "no memory"
            # Only here, with the exception and its frames gone, can the activations be freed.
            free_gpu_cache(self._device)
            self._batch_size = min(self._batch_size, len(images)) // 2
            if self._batch_size < 1:
                raise TrialFailed(f"out of memory on a single image ({reason}); use a smaller model or image")
