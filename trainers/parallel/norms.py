"""Batch normalisation over several processes.

On GPUs the processes normalise over their parts together (torch's SyncBatchNorm), so that a batch is normalised as in
one process. SyncBatchNorm has no CPU version: there each process normalises over its own part, as parts of a batch that
does not fit into memory do, and the running statistics of all processes are averaged at the end of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def share_statistics(model: nn.Module) -> nn.Module:
    """The model with SyncBatchNorm in the place of batch normalisation; names and values of its state stay."""
    from timm.layers import convert_sync_batchnorm

    shared: nn.Module = convert_sync_batchnorm(model)
    return shared


def shares_statistics(model: nn.Module) -> bool:
    """Whether processes meet in the forward pass."""
    return any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())


@contextmanager
def apart(model: nn.Module, alone: Any) -> Iterator[None]:
    """Inside, each process normalises by itself, and running statistics are afterwards what they were.

    Args:
        alone: process group of this process alone.
    """
    norms = [module for module in model.modules() if isinstance(module, nn.SyncBatchNorm)]
    buffers = [buffer for module in norms for buffer in module.buffers()]
    kept = [buffer.clone() for buffer in buffers]
    groups = [module.process_group for module in norms]
    for module in norms:
        module.process_group = alone
    try:
        yield
    finally:
        for module, group in zip(norms, groups, strict=True):
            module.process_group = group
        with torch.no_grad():
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)


def own_statistics(model: nn.Module, judged: nn.Module | None = None) -> list[Tensor]:
    """Running means and variances that each process has by itself: of `model`, and of its average `judged`.

    Frozen normalisations have the same everywhere and are left out.
    """
    found = []
    for module, other in zip(model.modules(), (judged or model).modules(), strict=True):
        if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm) and module.training:
            for norm in (module, other)[: 1 if judged is None else 2]:
                found += [value for value in (norm.running_mean, norm.running_var) if isinstance(value, Tensor)]
    return found
