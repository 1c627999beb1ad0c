"""The network of a finished training, from its settings and its weights' file."""

from __future__ import annotations

from pathlib import Path

from torch import nn

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
