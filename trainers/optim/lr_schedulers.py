"""Learning rates over a training: warm-up, then cosine, plateau or constant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from foldtune.errors import Problem, SettingsError
from foldtune.trainers.arrays.types import Mode
from foldtune.trainers.components import Component, number
from foldtune.trainers.deferred import timm, torch

if TYPE_CHECKING:
    from torch.optim import Optimizer


@dataclass(frozen=True)
class CosineParams:
    """Half a cosine from lr to ``lr·min_lr_ratio`` after linear warm-up: Loshchilov & Hutter 2017, eq. 5.

    `length` is its length (T_max) over that of the training: below 1 the lr then stays where it ends, above 1 the
    training ends before it is down.
    """

    warmup_epochs: float = number(0.0, 0.0)
    min_lr_ratio: float = number(0.0, 0.0, 1.0)
    length: float = number(1.0, 0.05, 20.0)


@dataclass(frozen=True)
class PlateauParams:
    """lr times `factor` when the metric has not improved for more than `patience` epochs."""

    factor: float = number(0.1, 0.0, 1.0, open_low=True, open_high=True)
    patience: int = number(3, 0)
    warmup_epochs: float = number(0.0, 0.0)


@dataclass(frozen=True)
class ConstantParams:
    """The same lr throughout, after a linear warm-up."""

    warmup_epochs: float = number(0.0, 0.0)


LR_SCHEDULERS: Mapping[str, type] = MappingProxyType(
    {"cosine": CosineParams, "plateau": PlateauParams, "constant": ConstantParams}
)


def check_warmup(schedule: Component, epochs: int) -> list[Problem]:
    """A warm-up as long as the training would leave nothing of the schedule."""
    warmup = schedule.params["warmup_epochs"]
    if warmup < epochs:
        return []
    message = f"{warmup:g} must be less than the {epochs} epochs of the training"
    return [Problem("lr_scheduler.warmup_epochs", message)]


class LrScheduler:
    """Sets the lr of every parameter group: before each optimizer step, and after each epoch by the metric.

    Step t of W warm-up steps has lr·(t+1)/(W+1), so that no step is wasted at lr 0; the cosine then runs over
    the remaining steps of the whole training. A group's ``lr_scale`` (layer decay) multiplies all of it.

    Args:
        lr: peak learning rate, > 0.
        mode: direction in which the metric given to `after_epoch` is better.

    Raises:
        SettingsError: the warm-up is as long as the training.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedule: Component,
        lr: float,
        *,
        epochs: int,
        steps_per_epoch: int,
        mode: Mode,
    ) -> None:
        if problems := check_warmup(schedule, epochs):
            raise SettingsError(problems)
        name, params = schedule.name, schedule.params
        total = epochs * steps_per_epoch
        self.warmup_steps = min(round(params["warmup_epochs"] * steps_per_epoch), total - 1)
        self._warmup_epochs = math.ceil(params["warmup_epochs"])
        ratio = params["min_lr_ratio"] if name == "cosine" else 1.0
        length = params["length"] if name == "cosine" else 1.0
        self._by_step = timm.scheduler.CosineLRScheduler(
            optimizer,
            t_initial=max(2, round(length * (total - self.warmup_steps))),  # timm warns at 1, where the lr is the same
            lr_min=lr * ratio,
            warmup_t=self.warmup_steps,
            warmup_lr_init=lr / (self.warmup_steps + 1),
            warmup_prefix=True,
            t_in_epochs=False,
        )
        self._by_step.step_update(0)  # from here on every group's lr holds its lr_scale
        # timm's own plateau scheduler is deprecated and forgets half of its state
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
        self._by_metric = (
            plateau(optimizer, mode=mode, factor=params["factor"], patience=params["patience"])
            if name == "plateau"
            else None
        )

    def before_step(self, step: int) -> None:
        """Set the lr for optimizer step `step` (0-based over the whole training)."""
        if self._by_metric is None or step <= self.warmup_steps:
            self._by_step.step_update(step)

    def after_epoch(self, epoch: int, value: float) -> None:
        """Take the metric's value of `epoch` (1-based); it changes the lr under plateau alone, after the warm-up."""
        if self._by_metric is not None and epoch >= self._warmup_epochs:
            self._by_metric.step(value)

    def state_dict(self) -> dict[str, Any]:
        """Numbers only: what `load_state_dict` needs; the lr itself is in the optimizer's state."""
        if self._by_metric is None:
            return {}
        state = self._by_metric.state_dict()
        return {key: state[key] for key in ("best", "num_bad_epochs", "last_epoch", "cooldown_counter")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self._by_metric is not None:
            self._by_metric.load_state_dict(dict(state))
