"""The network of a finished training, from its settings and its weights' file, and what it says of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from foldtune.trainers.data.cache import ImageSource
from foldtune.trainers.inference.predictor import Progress, eval_batch, predict_logits
from foldtune.trainers.loading.crops import as_evaluated
from foldtune.trainers.networks.weights import load_weights
from foldtune.trainers.settings import TrialSettings, without_pretrained
from foldtune.trainers.tasks.base import Task
from foldtune.trainers.tasks.network import create_model


def load_trained(task: Task, settings: TrialSettings, weights: Path, image_size: tuple[int, int]) -> nn.Module:
    """The network for images of `image_size` (height, width), with trained weights; nothing is downloaded.

    Raises:
        WorkError: the weights are absent, damaged, or another network's.
    """
    model = create_model(task, without_pretrained(settings), image_size)
    model.load_state_dict(load_weights(weights))
    return model


def trained_logits(
    task: Task,
    settings: TrialSettings,
    weights: Path,
    source: ImageSource,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    tta: str | None = None,
    batch_size: int = 64,
    device: str | None = None,
    num_workers: int = 0,
    progress: Progress | None = None,
) -> npt.NDArray[Any]:
    """Logits (rows, …), as the task keeps them, of a trained network on images, shown as in its own validation.

    `rows` are all by default. Large images come in smaller batches than `batch_size`. `tta` overrides the one of the
    settings; V views cost V times as much.

    Raises:
        WorkError: the weights are absent, damaged, or another network's.
        TrialFailed: a single image does not fit into memory.
    """
    return predict_logits(
        load_trained(task, settings, weights, source.shape[1:3]),
        source,
        np.arange(len(source)) if rows is None else rows,
        batch_size=eval_batch(batch_size, source.shape[1:3]),
        device=device,
        amp=settings.amp,
        channels_last=settings.channels_last,
        num_workers=num_workers,
        tta=settings.tta if tta is None else tta,
        crop=as_evaluated(settings.crop, whole=task.judges_whole_images),
        progress=progress,
        compact=task.compact,
    )
