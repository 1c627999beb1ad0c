"""A network whose gradients are summed over the processes of a training, by torch's DistributedDataParallel."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.parallel import DistributedDataParallel

from foldtune.trainers.parallel.process_group import ProcessGroup


def data_parallel(model: nn.Module, group: ProcessGroup, *, unused_parameters: bool) -> DistributedDataParallel:
    """Return `model` with gradients averaged over `group` during each backward pass.

    The parameters stay those of `model`, under their names. Processes must have the same weights already.

    Args:
        unused_parameters: whether the loss does not depend on some trained parameter; finding those costs time.
    """
    # A dimension of length 1 has no meaningful stride, so the first of the warnings is wrong for such parameters;
    # the successor of `broadcast_buffers` is missing from older torch.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
    return DistributedDataParallel(
        model,
        device_ids=[group.device] if group.device.type == "cuda" else None,
        broadcast_buffers=False,  # running statistics are shared (SyncBatchNorm) or averaged after an epoch
        find_unused_parameters=unused_parameters,
        gradient_as_bucket_view=True,  # else gradients take their memory twice
        init_sync=False,
    )


@contextmanager
def summing(model: DistributedDataParallel, *, now: bool) -> Iterator[None]:
    """Sum the gradients in the backward passes inside where `now`; else only add to this process's own."""
    if now:
        yield
    else:
        with model.no_sync():
            yield
