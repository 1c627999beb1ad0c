"""Optimizers by name: their parameters, and the building of one for a model (timm's factory)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from foldtune.errors import Problem, SettingsError
from foldtune.trainers.components import Component, number
from foldtune.trainers.deferred import timm
from foldtune.trainers.networks.models import BY_LAYER, layer_groups_of

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


@dataclass(frozen=True)
class AdamWParams:
    """Decay rates of the two moments."""

    beta1: float = number(0.9, 0.0, 1.0, open_high=True)
    beta2: float = number(0.999, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class NAdamWParams(AdamWParams):
    """AdamW with Nesterov's momentum: Dozat 2016."""


@dataclass(frozen=True)
class LambParams(AdamWParams):
    """AdamW's step, scaled layer by layer to the norm of the weights: You et al. 2020, algorithm 2."""


@dataclass(frozen=True)
class LionParams:
    """The sign of the momentum: Chen et al. 2023, algorithm 2. Its lr is a third to a tenth of AdamW's."""

    beta1: float = number(0.9, 0.0, 1.0, open_high=True)
    beta2: float = number(0.99, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class MuonParams:
    """Orthogonal momentum for matrices and convolutions at AdamW's lr, AdamW for the rest: Liu et al. 2025, eq. 4."""

    momentum: float = number(0.95, 0.0, 1.0, open_high=True)
    nesterov: bool = True


@dataclass(frozen=True)
class SgdParams:
    """Momentum, plain or Nesterov's."""

    momentum: float = number(0.9, 0.0, 1.0, open_high=True)
    nesterov: bool = True


OPTIMIZERS: Mapping[str, type] = MappingProxyType(
    {
        "adamw": AdamWParams,
        "nadamw": NAdamWParams,
        "lamb": LambParams,
        "lion": LionParams,
        "muon": MuonParams,
        "sgd": SgdParams,
    }
)


def build_optimizer(
    model: nn.Module,
    optimizer: Component,
    *,
    lr: float,
    weight_decay: float,
    layer_decay: float = 0.0,
    body_lr_ratio: float = 1.0,
) -> Optimizer:
    """The optimizer over the parameters of `model`; biases and norms (one-dimensional) get no weight decay.

    Args:
        lr: peak learning rate, > 0.
        layer_decay: lr factor from a layer to the one before it, in (0, 1]; 0 is off. The product stands in each
            group's ``lr_scale``, which the lr scheduler applies.
        body_lr_ratio: lr of all layers before the head over the head's, in (0, 1]; a factor of ``lr_scale``, too.

    Raises:
        SettingsError: layer decay, or a body of its own lr, for a model without layer groups.
    """
    if not hasattr(model, "group_matcher"):
        lacks = f"model {type(model).__name__} has no layer groups; use"
        used = {"layer_decay": layer_decay > 0, "body_lr_ratio": body_lr_ratio != 1}
        if problems := [Problem(name, f"{lacks} {BY_LAYER[name]:g}") for name, is_used in used.items() if is_used]:
            raise SettingsError(problems)
    layer_decay = layer_decay or (1.0 if body_lr_ratio != 1 else 0.0)  # which makes groups of the layers
    built = timm.optim.create_optimizer_v2(
        model,
        lr=lr,
        weight_decay=weight_decay,
        layer_decay=layer_decay or None,
        **_factory_arguments(optimizer.name, optimizer.params),
        **_fused(optimizer.name, model),
    )
    if body_lr_ratio != 1:
        group_of = layer_groups_of(model)
        head = max(group_of.values())
        of_head = {id(parameter) for name, parameter in model.named_parameters() if group_of[name] == head}
        for group in built.param_groups:
            if id(group["params"][0]) not in of_head:
                group["lr_scale"] *= body_lr_ratio
    return cast("Optimizer", built)


def _factory_arguments(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    if "beta1" in params:
        # Lamb limits gradients by itself; here clip_grad does, for every optimizer alike.
        unclipped = {"max_grad_norm": None} if name == "lamb" else {}
        return {"opt": name, "betas": (params["beta1"], params["beta2"]), **unclipped}
    if name == "muon":
        return {"opt": name, **params}
    nesterov = params["nesterov"] and params["momentum"] > 0  # torch refuses Nesterov without momentum
    return {"opt": "sgd" if nesterov else "momentum", "momentum": params["momentum"]}


def _fused(name: str, model: nn.Module) -> dict[str, bool]:
    """Whether a step is one kernel, where torch has it; timm's own optimizers do not take the argument."""
    if name not in ("adamw", "sgd"):
        return {}
    return {"fused": all(parameter.is_floating_point() for parameter in model.parameters())}
