"""Exchanges between the processes of one training, over torch.distributed: gradients, statistics, any tensors."""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from timm.layers import convert_sync_batchnorm
from torch import Tensor, nn
from torch.distributed.distributed_c10d import _abort_process_group
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from foldtune.errors import Disconnected
from foldtune.trainers.parallel.microbatch import BatchShard, is_out_of_memory

_INTERFACE = "GLOO_SOCKET_IFNAME"


class ProcessGroup:
    """The processes of one training, as one of them sees them; by default a single process, without any exchange.

    Several run on one machine: NCCL between GPUs, gloo elsewhere and for tensors on the CPU. gloo is bound to
    the loopback interface alone.

    Args:
        device: "cpu" or "cuda"; each of several processes has the GPU of its rank.
        rank: rank of this process, from 0.
        size: processes.

    Attributes:
        connected: whether exchanges reach other processes; without, each returns what it is given.

    Raises (all methods that exchange):
        Disconnected: another process left.
    """

    def __init__(self, device: torch.device, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size
        self.device = torch.device("cuda", rank) if size > 1 and device.type == "cuda" else device
        self.connected = False

    def connect(self, rendezvous: Path, timeout_s: float) -> None:
        """Connect to the others by a file that does not exist yet; an exchange longer than `timeout_s` fails."""
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.set_device(self.device)
        with _loopback(), disconnections():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
                init_method=f"file://{rendezvous}",
                rank=self.rank,
                world_size=self.size,
                timeout=timedelta(seconds=timeout_s),
            )
        self.connected = True

    def close(self, *, broken: bool = False) -> None:
        """End the connections; `broken`: without waiting for a process that is gone."""
        if not self.connected:
            return
        self.connected = False
        if broken and self.device.type == "cuda":
            self.abort()
        else:
            with suppress(RuntimeError, ValueError):
                dist.destroy_process_group()

    def abort(self) -> None:
        """Make pending exchanges between GPUs fail now; by themselves they wait for their timeout."""
        with suppress(RuntimeError, ValueError):  # not connected yet, or no longer
            _abort_process_group()

    def out_of_memory(self, reason: str | None) -> str | None:
        """Return why any process ran out of memory, None for none; `reason` is this process's."""
        if not self.connected:
            return reason
        flags = torch.zeros(self.size, dtype=torch.int32)  # on the CPU: no wait for a GPU
        flags[self.rank] = reason is not None
        with disconnections():
            dist.all_reduce(flags)
        if not flags.any():
            return None
        return reason or f"in process {int(flags.argmax()) + 1} of {self.size}"

    def sum(self, value: Tensor) -> Tensor:
        """Return the sum over all processes, float32, on `device`."""
        if not self.connected:
            return value
        total = value.to(self.device, torch.float32, copy=True)
        with disconnections():
            dist.all_reduce(total)
        return total

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their means over all processes."""
        if not self.connected or not tensors:
            return
        flat = self.sum(torch.cat([tensor.reshape(-1) for tensor in tensors])) / self.size
        for tensor, mean in zip(tensors, torch.split(flat, [tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def broadcast(self, value: Tensor) -> Tensor:
        """Return the first process's tensor, of the shape and type of `value`."""
        if self.connected:
            with disconnections():
                dist.broadcast(value, 0)
        return value

    def gather_batch(self, part: Tensor, batch: int, shard: BatchShard) -> Tensor:
        """Return all `batch` rows from the parts (rows of a shard, …) of the processes."""
        if not self.connected:
            return part
        padded = part.new_zeros((shard.max_rows(batch), *part.shape[1:]))
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with disconnections():
            dist.all_gather(parts, padded)
        rows = [BatchShard(rank, self.size, shard.min_rows).rows(batch) for rank in range(self.size)]
        return torch.cat([each[: own.stop - own.start] for each, own in zip(parts, rows, strict=True)])


@contextmanager
def disconnections() -> Iterator[None]:
    """Turn what a backend raises where another process left into Disconnected; out of memory stays as it is."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise Disconnected(" ".join(str(error).split())[:200]) from error


@contextmanager
def _loopback() -> Iterator[None]:
    """Bind gloo to the loopback interface alone, unless the environment names another one."""
    names = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    if _INTERFACE in os.environ or not names:
        yield
        return
    os.environ[_INTERFACE] = names[0]
    try:
        yield
    finally:
        del os.environ[_INTERFACE]


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


def share_statistics(model: nn.Module) -> nn.Module:
    """Return the model with SyncBatchNorm in the place of batch normalisation; its state dict stays the same."""
    shared: nn.Module = convert_sync_batchnorm(model)
    return shared


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

    SyncBatchNorm, by which a batch is normalised as in one process, has no CPU version: there each process normalises
    over its own part, as parts of a batch that does not fit into memory do, and these are averaged after an epoch.

    Frozen normalisations have the same everywhere and are left out.
    """
    found = []
    for module, other in zip(model.modules(), (average or model).modules(), strict=True):
        if isinstance(module, _BatchNorm) and not isinstance(module, nn.SyncBatchNorm) and module.training:
            for norm in (module, other)[: 1 if average is None else 2]:
                found += [value for value in (norm.running_mean, norm.running_var) if isinstance(value, Tensor)]
    return found
