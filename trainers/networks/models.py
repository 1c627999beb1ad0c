"""Networks from timm: checked by name, built with a head of the trial's choice, their first layers frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from foldtune.errors import Problem, SettingsError, TrialFailed
from foldtune.trainers.components import Component, number
from foldtune.trainers.deferred import timm, torch
from foldtune.trainers.networks.pretrained import overlay
from foldtune.wording import did_you_mean, shortened

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


WITH_DROP_PATH = "resnet*, convnext*, efficientnet*, mobilenetv3*, vit*"


def check_model(model_name: str, drop_rate: float, drop_path_rate: float) -> list[Problem]:
    """Problems of a model's name, and of dropout that the model does not have. Allocates no weights."""
    if problem := _check_name(model_name):
        return [Problem("model_name", problem)]
    rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    return [
        Problem(name, f"model '{model_name}' has none; use 0 or a model that has it, such as {WITH_DROP_PATH}")
        for name, rate in rates.items()
        if rate > 0 and not takes_argument(model_name, name)
    ]


@lru_cache(maxsize=256)
def takes_argument(model_name: str, argument: str) -> bool:
    """Whether the model's constructor accepts ``argument`` (``drop_path_rate``); built without memory."""
    try:
        with torch.device("meta"):
            timm.create_model(model_name, **{argument: 0.1})
    except TypeError:
        return False
    except (RuntimeError, NotImplementedError):  # cannot be built without memory; the real build will show
        return True
    return True


BY_LAYER: Mapping[str, float] = MappingProxyType(
    {"train_last": 0, "layer_decay": 0.0, "body_lr_ratio": 1.0, "unfreeze_epochs": 0}
)
"""Settings that treat a network's layers differently, and the value at which each does not."""


def check_layers(model_name: str, head: Component, values: Mapping[str, Any]) -> list[Problem]:
    """Problems of a head, and of the settings of BY_LAYER in `values`, for which an existing model has no place."""
    problems = []
    if head.name != "linear" and not _traits(model_name).classifier:
        problems.append(_no_place(model_name, head))
    used = [name for name, off in BY_LAYER.items() if values[name] != off]
    if used and not _traits(model_name).layer_groups:
        lacks = f"model '{model_name}' has no layer groups; use"
        problems += [Problem(name, f"{lacks} {BY_LAYER[name]:g}") for name in used]
    return problems


class _Traits(NamedTuple):
    classifier: bool
    layer_groups: bool


@lru_cache(maxsize=256)
def _traits(model_name: str) -> _Traits:
    """Traits of the model, read from one that is built without memory."""
    try:
        with torch.device("meta"):
            model = timm.create_model(model_name)
    except (RuntimeError, NotImplementedError):  # the real build will show
        return _Traits(classifier=True, layer_groups=True)
    return _Traits(find_classifier(model) is not None, hasattr(model, "group_matcher"))


def _no_place(model_name: str, head: Component) -> Problem:
    return Problem("head", f"model '{model_name}' has no single dense classifier to put '{head.name}' at; use linear")


def build_model(
    model_name: str,
    num_classes: int,
    *,
    pretrained: bool | str = False,
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
    head: Component = LINEAR,
) -> nn.Module:
    """A timm network for RGB images with `num_classes` outputs, and `head` in the place of its classifier.

    Args:
        pretrained: whether it starts from timm's own weights, or a stored file of weights (`networks.pretrained`).

    Raises:
        SettingsError: the model does not exist, or has no place for the dropout or the head.
        TrialFailed: pretrained weights are unavailable.
        WorkError: the stored file of weights is gone or damaged.
    """
    if problems := check_model(model_name, drop_rate, drop_path_rate):
        raise SettingsError(problems)
    rates = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    given = {name: rate for name, rate in rates.items() if rate > 0}
    model = create_timm(model_name, pretrained=pretrained, num_classes=num_classes, **given)
    if not install_head(model, head):
        raise SettingsError([_no_place(model_name, head)])
    return model


def create_timm(model_name: str, *, pretrained: bool | str, **options: Any) -> nn.Module:
    """A network of timm's. Raises TrialFailed where pretrained weights are unavailable: why, and what to do."""
    if isinstance(pretrained, str):
        from foldtune.trainers.networks.weights import load_weights  # heavy: it imports torch

        load_weights(Path(pretrained))  # raises where they are damaged
        options |= overlay(Path(pretrained))
    try:
        return cast("nn.Module", timm.create_model(model_name, pretrained=bool(pretrained), **options))
    except (OSError, RuntimeError) as error:
        if not pretrained or isinstance(error, torch.OutOfMemoryError):
            raise
        raise TrialFailed(
            f"no pretrained weights for '{model_name}': set pretrained: false, or download them once where there is a "
            f"network and point HF_HOME to that cache on every machine ({one_line(error)})"
        ) from error


def input_stats(model: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation a channel (0–1) of the model's pretraining; ImageNet's otherwise."""
    cfg = getattr(model, "pretrained_cfg", None) or {}
    mean, std = timm.data.IMAGENET_DEFAULT_MEAN, timm.data.IMAGENET_DEFAULT_STD
    return tuple(cfg.get("mean", mean)), tuple(cfg.get("std", std))


def own_size(model_name: str) -> tuple[int, int] | None:
    """Height and width that the model was made for, None where they are not known."""
    try:
        size = timm.get_pretrained_cfg(model_name, allow_unregistered=False).input_size
        return int(size[1]), int(size[2])
    except (RuntimeError, AttributeError, TypeError, IndexError):
        return None


def count_params_m(model: nn.Module) -> float:
    """Parameters in millions."""
    return sum(parameter.numel() for parameter in model.parameters()) / 1e6


def has_batch_norm(model: nn.Module) -> bool:
    """Whether the model normalises over the batch and so needs two images at least to train."""
    return any(isinstance(module, torch.nn.modules.batchnorm._BatchNorm) for module in model.modules())


@lru_cache(maxsize=256)
def _check_name(model_name: str) -> str:
    """The problem of the name, or an empty text."""
    if timm.is_model(model_name):
        try:
            timm.get_pretrained_cfg(model_name, allow_unregistered=False)
        except RuntimeError:
            architecture, _, tag = model_name.partition(".")
            tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
            return f"model '{architecture}' has no weights '{tag}'; valid: {', '.join(tags) or 'none'}"
        return ""
    hint = did_you_mean(model_name, timm.list_models(), 3)
    return f"unknown model {shortened(repr(model_name))}{hint} (timm.list_models() names all)"


def one_line(error: Exception) -> str:
    """The error's message as one line of at most 200 characters."""
    return " ".join(str(error).split())[:200]


def freeze_all_but_last(model: nn.Module, groups: int) -> tuple[nn.Module, ...]:
    """Leave the head and the last `groups` layer groups to be trained; 0, or more than there are, leaves all.

    Groups are timm's, those that layer decay counts: the blocks of a ResNet or a transformer, and the stem.

    Returns the frozen batch normalisations. Their statistics belong to the frozen weights, so the caller keeps
    them in evaluation mode during training.

    Raises:
        SettingsError: the model has no layer groups.
    """
    if groups == 0:
        return ()
    if not hasattr(model, "group_matcher"):
        raise SettingsError([Problem("train_last", "the model has no layer groups; use 0")])
    group_of = layer_groups_of(model)
    last_frozen = max(group_of.values()) - groups - 1
    for name, parameter in model.named_parameters():
        if group_of[name] <= last_frozen:
            parameter.requires_grad_(False)
    return frozen_norms(model)


def frozen_norms(model: nn.Module) -> tuple[nn.Module, ...]:
    """Return the batch normalisations whose parameters are not trained."""
    return tuple(module for module in model.modules() if _is_frozen_batch_norm(module))


def count_layer_groups(model: nn.Module) -> int | None:
    """Return the layer groups before the head that `freeze_all_but_last` counts; None where the model has none."""
    return max(layer_groups_of(model).values()) if hasattr(model, "group_matcher") else None


def layer_groups_of(model: nn.Module) -> dict[str, int]:
    """Return the layer group of each parameter by name, from 0 at the input to the head's, of a model that has some."""
    matcher: Any = model.group_matcher
    groups: dict[str, int] = timm.models.group_parameters(model, matcher(coarse=False), reverse=True)
    return groups


def _is_frozen_batch_norm(module: nn.Module) -> bool:
    if not isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
        return False
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
