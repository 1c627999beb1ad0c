"""The network of a finished training, its logits and embeddings of images; measured inference time."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from foldtune.trainers.images.cache import ImageSource
from foldtune.trainers.inference.predictor import InferenceOptions, Predictor, Progress, eval_batch_size, predict_logits
from foldtune.trainers.networks.models import input_stats
from foldtune.trainers.networks.weights import load_into
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.base import Task
from foldtune.trainers.tasks.network import create_model


def load_trained(task: Task, settings: TrialSettings, weights: Path, image_size: tuple[int, int]) -> nn.Module:
    """Return the network for images of `image_size` (height, width) with trained weights; nothing is downloaded.

    Raises:
        WorkError: the weights are absent, damaged, or another network's.
    """
    model = create_model(task, replace(settings, pretrained=False), image_size)
    load_into(model, weights)
    return model


def trained_logits(
    task: Task,
    settings: TrialSettings,
    weights: Path,
    source: ImageSource,
    rows: npt.NDArray[np.int64] | None = None,
    options: InferenceOptions | None = None,
    progress: Progress | None = None,
) -> npt.NDArray[Any]:
    """Return the logits (rows, …) of a trained network, as the task stores them.

    Args:
        weights: safetensors file.
        rows: rows of the source; None is all of them.
        options: None is those of the training's own validation. Batches of large images are smaller than
            `options.batch_size`.
        progress: called with (rows done, all rows) after each batch.

    Raises:
        WorkError: the weights are absent, damaged, or another network's.
        TrialFailed: a single image does not fit into memory.
    """
    image_size = source.shape[1:3]
    options = options or InferenceOptions.of_settings(task, settings)
    return predict_logits(
        load_trained(task, settings, weights, image_size),
        source,
        np.arange(len(source)) if rows is None else rows,
        replace(options, batch_size=eval_batch_size(options.batch_size, image_size)),
        progress,
    )


class _Features(nn.Module):
    """A network that returns the input of its classifier."""

    def __init__(self, model: nn.Module, classifier: str) -> None:
        super().__init__()
        self.model = model
        self._seen: list[Tensor] = []
        model.get_submodule(classifier).register_forward_pre_hook(lambda _, inputs: self._seen.append(inputs[0]))

    def forward(self, images: Tensor) -> Tensor:
        self._seen.clear()
        self.model(images)
        return self._seen[-1].flatten(1)


def trained_embeddings(
    task: Task, settings: TrialSettings, weights: Path, source: ImageSource, progress: Progress | None = None
) -> npt.NDArray[np.float32] | None:
    """Return embeddings (N, D) of all images of a source; None of a network without a single classifier.

    Arguments and errors are those of `trained_logits`.
    """
    image_size = source.shape[1:3]
    model = load_trained(task, settings, weights, image_size)
    name: Any = (getattr(model, "pretrained_cfg", None) or {}).get("classifier")
    if not isinstance(name, str):
        return None
    mean, std = input_stats(model)
    options = replace(
        InferenceOptions.of_settings(task, settings), tta="none", crop=None, quantize=None, mean=mean, std=std
    )
    options = replace(options, batch_size=eval_batch_size(options.batch_size, image_size))
    features = _Features(model, name)
    return np.asarray(predict_logits(features, source, np.arange(len(source)), options, progress), dtype=np.float32)


_PASSES = 5


def inference_time_ms(
    task: Task,
    settings: TrialSettings,
    image_size: tuple[int, int],
    *,
    device: str | None = None,
    batch: int = 32,
) -> float:
    """Return the milliseconds an image from prepared pixels to logits, with the settings' crop and views.

    Reading and decoding of files are not included; weights do not matter, so they are random. The minimum of five
    passes after one to warm up: other work of the machine only ever adds.

    Args:
        image_size: (height, width) of the prepared images.
        device: as `trainers.runtime.choose_device` takes it.
        batch: images at a time, >= 1.
    """
    source = NoiseImages((batch, *image_size, 3))
    model = create_model(task, replace(settings, pretrained=False), image_size)
    options = replace(InferenceOptions.of_settings(task, settings), batch_size=batch, device=device, quantize=None)
    times = []
    with closing(Predictor(source, np.arange(batch), options)) as predictor:
        for _ in range(1 + _PASSES):
            start = perf_counter()
            predictor(model)  # waits for a GPU: its outputs come back as NumPy arrays
            times.append(perf_counter() - start)
    return 1000 * min(times[1:]) / batch


@dataclass(frozen=True)
class NoiseImages:
    """Random images (N, H, W, 3)."""

    shape: tuple[int, int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.uint8]:
        return np.random.default_rng(0).integers(0, 256, (len(rows), *self.shape[1:]), dtype=np.uint8)
