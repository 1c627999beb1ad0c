"""The network of a finished training, from its settings and its weights' file, and what it says of images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from trainers.data.cache import ImageSource
from trainers.inference import Logits, Progress, predict_logits
from trainers.models import create_model, without_pretrained
from trainers.settings import TrialSettings
from trainers.tasks.base import Task
from trainers.weights import load_weights


def load_trained(task: Task, settings: TrialSettings, weights: Path, image_size: tuple[int, int]) -> nn.Module:
    """The network for images of `image_size` (height, width), with trained weights; nothing is downloaded.

    Raises:
        TrainersError: the weights are absent, damaged, or another network's.
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
) -> Logits:
    """Logits (rows, …) of a trained network on images, shown to it exactly as in its own validation.

    `rows` are all by default. `tta` overrides the one of the settings; V views cost V times as much.

    Raises:
        TrainersError: the weights are absent, damaged, or another network's.
        TrialFailed: a single image does not fit into memory.
    """
    return predict_logits(
        load_trained(task, settings, weights, source.shape[1:3]),
        source,
        np.arange(len(source)) if rows is None else rows,
        batch_size=batch_size,
        device=device,
        amp=settings.amp,
        channels_last=settings.channels_last,
        num_workers=num_workers,
        tta=settings.tta if tta is None else tta,
        crop=settings.crop,
        progress=progress,
    )
