"""Tasks whose network fails in the second process of a training; the process must be able to import them."""

from __future__ import annotations

import itertools
import os
import signal
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass


def in_second_process(module: nn.Module) -> bool:
    """Whether a network is trained in the second process of a training."""
    return module.training and dist.is_initialized() and dist.get_rank() == 1


class Refusing(Multiclass):
    """Calls `refuse` with each batch that the network trains on in the second process."""

    def build_model(self, settings: TrialSettings) -> nn.Module:
        model = super().build_model(settings)

        def check(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            if in_second_process(module):
                self.refuse(inputs[0])

        model.register_forward_pre_hook(check)
        return model

    def refuse(self, images: Any) -> None:
        raise NotImplementedError


class Tight(Refusing):
    """No memory for more than two images."""

    def refuse(self, images: Any) -> None:
        if len(images) > 2:
            raise torch.OutOfMemoryError(f"no room for {len(images)} images")


class TightLater(Multiclass):
    """No memory for more than two images in the second process, from its second batch of the second epoch on."""

    def build_model(self, settings: TrialSettings) -> nn.Module:
        model = super().build_model(settings)
        passes = itertools.count(1)

        def refuse(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
            # One of the trial run and three of the first epoch come before.
            if in_second_process(module) and next(passes) > 5 and len(inputs[0]) > 2:
                raise torch.OutOfMemoryError(f"no room for {len(inputs[0])} images")

        model.register_forward_pre_hook(refuse)
        return model


class PartlyUnused(Multiclass):
    """A network with a layer that its output does not depend on."""

    def build_model(self, settings: TrialSettings) -> nn.Module:
        model = super().build_model(settings)
        model.unused = nn.Linear(2, 2)
        return model


class Killed(Refusing):
    """Killed in the middle of an epoch, at its short last batch."""

    def refuse(self, images: Any) -> None:
        if len(images) < 4:
            os.kill(os.getpid(), signal.SIGKILL)


class Wrong(Refusing):
    """An error of its own at the same batch."""

    def refuse(self, images: Any) -> None:
        if len(images) < 4:
            raise ValueError("these images cannot be")
