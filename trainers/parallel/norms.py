"""Batch normalisation over several processes.

On GPUs the processes normalise over their parts together (torch's SyncBatchNorm), so that a batch is normalised as in
one process. SyncBatchNorm has no CPU version: there each process normalises over its own part, as parts of a batch that
does not fit into memory do, and the running statistics of all processes are averaged at the end of an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

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
def apart(model: nn.Module) -> Iterator[None]:
    """Inside, processes do not meet in the forward pass: it takes the running statistics, and changes none."""
    norms = [module for module in model.modules() if isinstance(module, nn.SyncBatchNorm) and module.training]
    for norm in norms:
        norm.eval()
    try:
        yield
    finally:
        for norm in norms:
            norm.train()


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
