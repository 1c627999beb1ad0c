"""The task's network at its image size, and whether it can train there: a forward pass without memory."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import Problem, SettingsError, TrialFailed
from foldtune.trainers.deferred import torch
from foldtune.trainers.loading.crops import check_crop, output_size
from foldtune.trainers.loading.samplers import build_sampler
from foldtune.trainers.networks.models import (
    count_layer_groups,
    count_params_m,
    freeze_all_but_last,
    has_batch_norm,
    one_line,
    own_size,
)

if TYPE_CHECKING:
    from torch import nn

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
        from foldtune.trainers.parallel.microbatch import is_out_of_memory  # heavy: it imports torch

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


_MAX_CONFIRMED_M = 150.0
"""Millions of parameters up to which a failure without memory is tried again with memory."""


def batch_sizes(settings: TrialSettings, classes: npt.NDArray[np.int64], *, batch_norm: bool) -> set[int]:
    """Return the sizes of an epoch's batches, as the training makes them.

    Args:
        classes: (N,) classes of the training rows, for the sampler.
        batch_norm: whether the network normalises over the batch; then a last batch of one image is left out.
    """
    images = build_sampler(settings.sampler.name, **settings.sampler.params).epoch_size(classes)
    whole, last = divmod(images, settings.batch_size)
    if whole == 0:
        return {images}
    return {settings.batch_size} | ({last} if last > (1 if batch_norm else 0) else set())


class DryRun:
    """A network without memory, in training mode.

    A failure of a network that is small enough is tried again with memory: some operations do not run without.

    Attributes:
        problem: why the network does not take the size, None where it does or where it is not known.
        layer_groups: number of the network's layer groups, None where it has none or is not known.
    """

    def __init__(self, task: Task, settings: TrialSettings, image_size: tuple[int, int]) -> None:
        self._task, self._settings, self._image_size = task, replace(settings, pretrained=False), image_size
        self._network: nn.Module | None = None
        self._reasons: dict[int, str] = {}
        self.problem: Problem | None = None
        self.layer_groups: int | None = None
        try:
            self._network = _build(task, self._settings, image_size, "meta")
        except TrialFailed as error:
            if not isinstance(error.__cause__, NotImplementedError) and self._fails_with_memory(None):
                self.problem = Problem("model_name", f"{error}{_size_hint(settings.model_name)}")
        except (RuntimeError, TypeError):  # cannot be built without memory; the real build will show
            return
        else:
            self.layer_groups = count_layer_groups(self._network)

    def batch_problem(self, settings: TrialSettings, trainings: Iterable[npt.NDArray[np.int64]]) -> Problem | None:
        """Return why the network cannot train on the batches of some trainings, None where it can.

        The smallest batch is tried, and the largest; what lies between does not fail where a smaller one passes.

        Args:
            settings: configuration of this network, of any batch size and sampler.
            trainings: classes (N,) of the rows of each training.
        """
        if self._network is None:
            return self.problem
        norm = has_batch_norm(self._network)
        sizes = set().union(*(batch_sizes(settings, classes, batch_norm=norm) for classes in trainings))
        for batch in dict.fromkeys((min(sizes), max(sizes))):
            if reason := self._reason(batch):
                return self._problem(settings.batch_size, batch, reason)
        return None

    def _reason(self, batch: int) -> str:
        if batch not in self._reasons:
            passed = [size for size, reason in self._reasons.items() if not reason]
            if any(size <= batch for size in passed) and len(passed) > 1:
                return ""
            assert self._network is not None
            reason = _failure(self._network, self._size, batch)
            self._reasons[batch] = reason if reason and self._fails_with_memory(batch) else ""
        return self._reasons[batch]

    def _problem(self, batch_size: int, batch: int, reason: str) -> Problem:
        height, width = self._size
        name = self._settings.model_name
        what = f"model '{name}' cannot train on a batch of {batch} at {height}x{width} px ({reason})"
        assert self._network is not None
        enough = next((more for more in range(batch + 1, 5) if not _failure(self._network, self._size, more)), 0)
        if not enough:
            return Problem("model_name", f"{what}{_size_hint(name)}")
        if batch == batch_size:
            return Problem("batch_size", f"{what}; give at least {enough}, or larger images")
        return Problem("batch_size", f"{what}, which is the last of an epoch; give another size")

    @property
    def _size(self) -> tuple[int, int]:
        return output_size(self._settings.crop, self._image_size)

    def _fails_with_memory(self, batch: int | None) -> bool:
        """Whether the network, or a batch of it, fails on the CPU, too; large networks are not tried."""
        try:
            with torch.device("meta"):
                if count_params_m(self._task.build_model(self._settings)) > _MAX_CONFIRMED_M:
                    return True
            network = _build(self._task, self._settings, self._image_size, "cpu")
        except (TrialFailed, RuntimeError, TypeError):
            return True
        return batch is not None and bool(_failure(network, self._size, batch, "cpu"))


def _build(task: Task, settings: TrialSettings, image_size: tuple[int, int], device: str) -> nn.Module:
    with torch.device(device):
        network = create_model(task, settings, image_size)
    network.train()
    for norm in freeze_all_but_last(network, settings.train_last):
        norm.eval()
    return network


def _failure(network: nn.Module, size: tuple[int, int], batch: int, device: str = "meta") -> str:
    """Return why a batch does not pass through the network, "" where it does or where nothing is known."""
    try:
        with torch.no_grad(), torch.device(device):
            network(torch.zeros(batch, 3, *size))
    except NotImplementedError:
        return ""
    except (RuntimeError, ValueError, AssertionError) as error:
        return one_line(error) or type(error).__name__
    return ""


def _size_hint(model_name: str) -> str:
    size = own_size(model_name)
    return f"; its own size is {size[0]}x{size[1]}: set data.image_size, or take another model" if size else ""
