"""The network of a finished training, from its settings and its weights' file, and its logits of images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from foldtune.trainers.images.cache import ImageSource
from foldtune.trainers.inference.options import InferenceOptions
from foldtune.trainers.inference.predictor import Progress, eval_batch_size, predict_logits
from foldtune.trainers.networks.weights import load_into
from foldtune.trainers.settings import TrialSettings, without_pretrained
from foldtune.trainers.tasks.base import Task
from foldtune.trainers.tasks.network import create_model


def load_trained(task: Task, settings: TrialSettings, weights: Path, image_size: tuple[int, int]) -> nn.Module:
    """Return the network for images of `image_size` (height, width) with trained weights; nothing is downloaded.

    Raises:
        WorkError: the weights are absent, damaged, or another network's.
    """
    model = create_model(task, without_pretrained(settings), image_size)
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
        task: task of the training.
        settings: settings of the training.
        weights: safetensors file.
        source: images.
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
