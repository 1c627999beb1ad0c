"""The last layers of a network, between timm's pooled features and the outputs: their parameters and the building."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from foldtune.trainers.components import Component, number
from foldtune.trainers.deferred import torch

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class LinearHead:
    """timm's own classifier: one dense layer."""


@dataclass(frozen=True)
class MlpHead:
    """`layers` dense layers of `units` outputs, each with ReLU and then `dropout`, before the classifier.

    The model's ``drop_rate`` acts before the first of them, on the pooled features.
    """

    units: int = number(256, 1, 16384)
    layers: int = number(1, 1, 8)
    dropout: float = number(0.3, 0.0, 1.0, open_high=True)


HEADS: Mapping[str, type] = MappingProxyType({"linear": LinearHead, "mlp": MlpHead})
LINEAR = Component("linear")


def find_classifier(model: nn.Module) -> str | None:
    """Name of the dense layer that gives a timm model's outputs; None where there is no such single layer.

    Distilled models have two of them, some convolutional ones a 1x1 convolution instead.
    """
    name: Any = (getattr(model, "pretrained_cfg", None) or {}).get("classifier")
    if not isinstance(name, str):
        return None
    try:
        return name if isinstance(model.get_submodule(name), torch.nn.Linear) else None
    except AttributeError:
        return None


def install_head(model: nn.Module, head: Component) -> bool:
    """Put `head` in the place of the classifier, for as many outputs. False where the model has no place for it.

    The network stays timm's own: its layer groups, input size and statistics are found as ever.
    """
    if head.name == "linear":
        return True
    name = find_classifier(model)
    if name is None:
        return False
    classifier: Any = model.get_submodule(name)
    width, params = classifier.in_features, head.params
    layers: list[nn.Module] = []
    for _ in range(params["layers"]):
        layers += [torch.nn.Linear(width, params["units"]), torch.nn.ReLU(), torch.nn.Dropout(params["dropout"])]
        width = params["units"]
    layers.append(torch.nn.Linear(width, classifier.out_features))
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, torch.nn.Sequential(*layers))
    return True
