"""Embeddings of images by a trained network: what enters its classifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from foldtune.trainers.images.cache import ImageSource
from foldtune.trainers.inference.options import InferenceOptions
from foldtune.trainers.inference.predictor import Progress, eval_batch_size, predict_logits
from foldtune.trainers.inference.trained import load_trained
from foldtune.trainers.networks.models import input_stats
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.base import Task


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

    Args:
        task: task of the training.
        settings: settings of the training.
        weights: safetensors file.
        progress: called with (rows done, all rows) after each batch.

    Raises:
        WorkError: the weights are absent, damaged, or another network's.
        TrialFailed: a single image does not fit into memory.
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
