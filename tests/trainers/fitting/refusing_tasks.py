"""Tasks whose network fails in the second process of a training; the process must be able to import them."""

from __future__ import annotations

import os
import signal
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass


class Refusing(Multiclass):
    """Calls `refuse` with each batch that the network trains on in the second process."""

    def build_model(self, settings: TrialSettings) -> nn.Module:
        model = super().build_model(settings)

        def look(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            if module.training and dist.is_initialized() and dist.get_rank() == 1:
                self.refuse(inputs[0])

        model.register_forward_pre_hook(look)
        return model

    def refuse(self, images: Any) -> None:
        raise NotImplementedError


class Tight(Refusing):
    """No memory for more than two images."""

    def refuse(self, images: Any) -> None:
        if len(images) > 2:
            raise torch.OutOfMemoryError(f"no room for {len(images)} images")


class Killed(Refusing):
    """Killed in the middle of an epoch, at its short last batch."""

    def refuse(self, images: Any) -> None:
        if len(images) < 4:
            os.kill(os.getpid(), signal.SIGKILL)


class Wrong(Refusing):
    """Stumbles over the same batch."""

    def refuse(self, images: Any) -> None:
        if len(images) < 4:
            raise ValueError("these images cannot be")
