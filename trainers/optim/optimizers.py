"""Optimizers by name: their parameters, and how one is built for a model (timm's factory)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from foldtune.errors import Problem, SettingsError
from foldtune.trainers.components import number

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer

    from foldtune.trainers.settings import TrialSettings


@dataclass(frozen=True)
class AdamWParams:
    """Decay rates of the two moments."""

    beta1: float = number(0.9, 0.0, 1.0, open_high=True)
    beta2: float = number(0.999, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class SgdParams:
    """Momentum, and whether it looks ahead (Nesterov)."""

    momentum: float = number(0.9, 0.0, 1.0, open_high=True)
    nesterov: bool = True


OPTIMIZERS: Mapping[str, type] = MappingProxyType({"adamw": AdamWParams, "sgd": SgdParams})


def build_optimizer(model: nn.Module, settings: TrialSettings) -> Optimizer:
    """The optimizer of `settings` over the parameters of `model`.

    Biases and norms (one-dimensional parameters) get no weight decay. `layer_decay` > 0 scales the lr of
    earlier layers down; the factor stands in each group's ``lr_scale``, which the lr scheduler applies.
    """
    from timm.optim import create_optimizer_v2

    if settings.layer_decay > 0 and not hasattr(model, "group_matcher"):
        message = f"model '{settings.model_name}' does not say which layers it has; use 0"
        raise SettingsError([Problem("layer_decay", message)])
    optimizer = create_optimizer_v2(
        model,
        lr=settings.lr,
        weight_decay=settings.weight_decay,
        layer_decay=settings.layer_decay or None,
        fused=all(parameter.is_floating_point() for parameter in model.parameters()),
        **_factory_arguments(settings),
    )
    return cast("Optimizer", optimizer)


def _factory_arguments(settings: TrialSettings) -> dict[str, Any]:
    params = settings.optimizer.params
    if settings.optimizer.name == "adamw":
        return {"opt": "adamw", "betas": (params["beta1"], params["beta2"])}
    nesterov = params["nesterov"] and params["momentum"] > 0  # torch refuses Nesterov without momentum
    return {"opt": "sgd" if nesterov else "momentum", "momentum": params["momentum"]}
