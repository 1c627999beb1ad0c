"""Optimizers by name, for a model (timm's factory), and mixed precision on a device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from foldtune.errors import Problem, SettingsError
from foldtune.trainers.components import Component, number
from foldtune.trainers.deferred import timm, torch

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer


@dataclass(frozen=True)
class AdamWParams:
    """Decay rates of the two moments."""

    beta1: float = number(0.9, 0.0, 1.0, open_high=True)
    beta2: float = number(0.999, 0.0, 1.0, open_high=True)


@dataclass(frozen=True)
class SgdParams:
    """Momentum, plain or Nesterov's."""

    momentum: float = number(0.9, 0.0, 1.0, open_high=True)
    nesterov: bool = True


OPTIMIZERS: Mapping[str, type] = MappingProxyType({"adamw": AdamWParams, "sgd": SgdParams})


def build_optimizer(
    model: nn.Module, optimizer: Component, *, lr: float, weight_decay: float, layer_decay: float = 0.0
) -> Optimizer:
    """The optimizer over the parameters of `model`; biases and norms (one-dimensional) get no weight decay.

    Args:
        lr: peak learning rate, > 0.
        layer_decay: lr factor from a layer to the one before it, in (0, 1]; 0 is off. The product stands in each
            group's ``lr_scale``, which the lr scheduler applies.

    Raises:
        SettingsError: layer decay for a model without layer groups.
    """
    if layer_decay > 0 and not hasattr(model, "group_matcher"):
        raise SettingsError([Problem("layer_decay", f"model {type(model).__name__} has no layer groups; use 0")])
    built = timm.optim.create_optimizer_v2(
        model,
        lr=lr,
        weight_decay=weight_decay,
        layer_decay=layer_decay or None,
        fused=all(parameter.is_floating_point() for parameter in model.parameters()),
        **_factory_arguments(optimizer.name, optimizer.params),
    )
    return cast("Optimizer", built)


def _factory_arguments(name: str, params: Mapping[str, Any]) -> dict[str, Any]:
    if name == "adamw":
        return {"opt": "adamw", "betas": (params["beta1"], params["beta2"])}
    nesterov = params["nesterov"] and params["momentum"] > 0  # torch refuses Nesterov without momentum
    return {"opt": "sgd" if nesterov else "momentum", "momentum": params["momentum"]}


@dataclass(frozen=True)
class Precision:
    """`dtype` None is plain float32; float16's range is too small for gradients: `scaled`."""

    device_type: str
    dtype: torch.dtype | None

    @property
    def scaled(self) -> bool:
        return self.dtype is torch.float16

    def autocast(self) -> AbstractContextManager[object]:
        """Context of a forward pass."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device_type, dtype=self.dtype)


def choose_precision(amp: str, device: torch.device) -> Precision:
    """Precision for "auto", "off", "bf16" or "fp16".

    auto: bf16 on a GPU that computes in it, fp16 on an older GPU, float32 elsewhere. A CPU takes bf16 where
    it is named; fp16 there is float32, which is faster and loses nothing.
    """
    on_gpu = device.type == "cuda"
    if amp == "auto":
        amp = _fastest() if on_gpu else "off"
    if amp == "fp16" and not on_gpu:
        amp = "off"
    return Precision(device.type, {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}[amp])


def _fastest() -> str:
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
