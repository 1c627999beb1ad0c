"""Batch normalisation over several processes.

On GPUs the processes normalise over their parts together (torch's SyncBatchNorm), so that a batch is normalised as in
one process. SyncBatchNorm has no CPU version: there each process normalises over its own part, as parts of a batch that
does not fit into memory do, and the running statistics of all processes are averaged at the end of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def share_statistics(model: nn.Module) -> nn.Module:
    """Return the model with SyncBatchNorm in the place of batch normalisation; its state dict stays the same."""
    shared: nn.Module = convert_sync_batchnorm(model)
    return shared


def shares_statistics(model: nn.Module) -> bool:
    """Whether the forward pass exchanges statistics between processes."""
    return any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())


@contextmanager
def fixed_statistics(model: nn.Module) -> Iterator[None]:
    """Normalise by the running statistics inside: none is exchanged, and none changes."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm) and module.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


def own_statistics(model: nn.Module, average: nn.Module | None = None) -> list[Tensor]:
    """Return the running means and variances that differ between processes, of `model` and of its `average`.

    Frozen normalisations have the same everywhere and are left out.
    """
    found = []
    for module, other in zip(model.modules(), (average or model).modules(), strict=True):
        if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm) and module.training:
            for norm in (module, other)[: 1 if average is None else 2]:
                found += [value for value in (norm.running_mean, norm.running_var) if isinstance(value, Tensor)]
    return found
