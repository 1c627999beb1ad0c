"""Fine-tuning of the last layers alone."""

from __future__ import annotations

from typing import Any

from timm.models import group_parameters
from torch import nn

from foldtune.errors import Problem, SettingsError


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
    matcher: Any = getattr(model, "group_matcher", None)
    if matcher is None:
        raise SettingsError([Problem("train_last", "the model has no layer groups; use 0")])
    group_of = _group_of(model, matcher)
    last_frozen = max(group_of.values()) - groups - 1
    for name, parameter in model.named_parameters():
        if group_of[name] <= last_frozen:
            parameter.requires_grad_(False)
    return tuple(module for module in model.modules() if _is_frozen_batch_norm(module))


def count_layer_groups(model: nn.Module) -> int | None:
    """Return the layer groups before the head that `freeze_all_but_last` counts; None where the model has none."""
    matcher: Any = getattr(model, "group_matcher", None)
    return None if matcher is None else max(_group_of(model, matcher).values())


def _group_of(model: nn.Module, matcher: Any) -> dict[str, int]:
    groups: dict[str, int] = group_parameters(model, matcher(coarse=False), reverse=True)
    return groups


def _is_frozen_batch_norm(module: nn.Module) -> bool:
    if not isinstance(module, nn.modules.batchnorm._BatchNorm):
        return False
    parameters = list(module.parameters())
    return bool(parameters) and not any(parameter.requires_grad for parameter in parameters)
