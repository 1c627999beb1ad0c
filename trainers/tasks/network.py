"""The task's network at its image size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from foldtune.errors import SettingsError, TrialFailed
from foldtune.trainers.loading.crops import check_crop, output_size
from foldtune.trainers.networks.models import one_line
from foldtune.trainers.parallel.microbatch import is_out_of_memory

if TYPE_CHECKING:
    from foldtune.trainers.settings import TrialSettings
    from foldtune.trainers.tasks.base import Task


def create_model(task: Task, settings: TrialSettings, image_size: tuple[int, int]) -> nn.Module:
    """The task's network, ready for what the crop of `settings` makes of images of `image_size` (height, width).

    Transformers whose position embeddings fix the input size are set to that size.

    Raises:
        SettingsError: the crop is larger than the images.
        TrialFailed: the model cannot work at that size.
    """
    if problems := check_crop(settings.crop, image_size):
        raise SettingsError(problems)
    image_size = output_size(settings.crop, image_size)
    model = task.build_model(settings)
    set_input_size: Any = getattr(model, "set_input_size", None)
    try:
        if set_input_size is not None:
            set_input_size(img_size=image_size)
        _try_out(model, image_size)
    except (AssertionError, RuntimeError, ValueError) as error:
        if is_out_of_memory(error):
            raise
        height, width = image_size
        reason = f"model '{settings.model_name}' cannot take images of {height}x{width}: {one_line(error)}"
        raise TrialFailed(reason) from error
    return model


def _try_out(model: nn.Module, image_size: tuple[int, int]) -> None:
    """One image through the model, so that a size that does not fit raises here."""
    training = model.training
    with torch.inference_mode():
        model.eval()(torch.zeros(1, 3, *image_size))
    model.train(training)
