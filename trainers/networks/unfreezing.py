"""Gradual unfreezing: the layers of a pretrained network join the training one after the other, from the head on."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from foldtune.trainers.networks.models import frozen_norms, layer_groups_of

if TYPE_CHECKING:
    from torch import nn


def unfreeze(
    model: nn.Module, parameters: Collection[nn.Parameter], epoch: int, epochs: int
) -> tuple[nn.Module, ...] | None:
    """Leave the head and as many of the last layer groups to be trained as have their turn in an epoch.

    In epoch t of n it is the head and ⌊G·(t-1)/n⌋ of the G groups before it; all of them after epoch n. The paper
    (Howard & Ruder 2018, section 3.3) adds one group an epoch, which is n = G.

    Args:
        parameters: the model's parameters that are trained in the end.
        epoch: number of the epoch, from 1.
        epochs: n, at least 1.

    Returns:
        The frozen batch normalisations, to be kept in evaluation mode; None where nothing changed.
    """
    group_of = layer_groups_of(model)
    head = max(group_of.values())
    groups = head if epoch > epochs else head * (epoch - 1) // epochs
    own, changed = {id(parameter) for parameter in parameters}, False
    for name, parameter in model.named_parameters():
        trained = group_of[name] >= head - groups
        if id(parameter) in own and parameter.requires_grad is not trained:
            parameter.requires_grad_(trained)
            changed = True
    return frozen_norms(model) if changed else None
