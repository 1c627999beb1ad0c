"""What the processes of a training say to each other."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from foldtune.errors import Disconnected
from foldtune.trainers.parallel.microbatch import is_out_of_memory
from foldtune.trainers.parallel.shares import Share

BUCKET_BYTES = 32 << 20
"""Gradients that travel together: small ones wait for each other, large ones overlap."""
_INTERFACE = "GLOO_SOCKET_IFNAME"


class Group:
    """The processes of a training as one of them sees them: here the only one, which has nobody to talk to.

    Attributes:
        rank: of this process, from 0.
        size: processes.
    """

    rank = 0
    size = 1

    def out_of_memory(self, reason: str | None) -> str | None:
        """Why any process ran out of memory in what all of them just did; `reason` is this one's, None for none."""
        return reason

    def add(self, value: Tensor) -> Tensor:
        """The sum of a number over all processes."""
        return value

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Give every process the sum of all processes' gradients."""

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over all processes into tensors of one type."""

    def first(self, value: Tensor) -> Tensor:
        """What the first process has in a tensor of this form."""
        return value

    def whole(self, part: Tensor, batch: int, share: Share) -> Tensor:
        """A batch (B, …) from the parts that the processes have of it."""
        return part


class Ranks(Group):
    """Several processes of one machine: NCCL between GPUs, gloo elsewhere and for what steers them.

    A process uses it once `connect` has met the others. gloo listens on the loopback interface alone.

    Raises (all methods):
        Disconnected: another process left.
    """

    def __init__(self, rank: int, size: int, device: torch.device) -> None:
        self.rank, self.size = rank, size
        self.device = torch.device("cuda", rank) if device.type == "cuda" else device

    def connect(self, meeting: Path, timeout_s: float) -> None:
        """Meet the others at a file that is not there yet; an exchange that takes longer than `timeout_s` fails."""
        on_gpu = self.device.type == "cuda"
        if on_gpu:
            torch.cuda.set_device(self.device)
        with _loopback(), _exchange():
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
                init_method=f"file://{meeting}",
                rank=self.rank,
                world_size=self.size,
                timeout=timedelta(seconds=timeout_s),
            )

    def leave(self, *, broken: bool = False) -> None:
        """Part from the others; where one is gone, without waiting for what it owes."""
        if not dist.is_initialized():
            return
        if broken and self.device.type == "cuda":
            self.abort()
        else:
            with suppress(RuntimeError, ValueError):
                dist.destroy_process_group()

    def abort(self) -> None:
        """Let whoever waits for a GPU's exchange wait no longer; it fails."""
        from torch.distributed.distributed_c10d import _abort_process_group

        with suppress(RuntimeError, ValueError):  # not connected yet, or no longer
            _abort_process_group()

    def out_of_memory(self, reason: str | None) -> str | None:
        flags = torch.zeros(self.size, dtype=torch.int32)  # on the CPU: a GPU's number would have to be waited for
        flags[self.rank] = reason is not None
        self._add(flags)
        if not flags.any():
            return None
        return reason or f"in process {int(flags.argmax()) + 1} of {self.size}"

    def add(self, value: Tensor) -> Tensor:
        total = value.to(self.device, torch.float32)
        self._add(total)
        return total

    def add_gradients(self, parameters: Sequence[Tensor]) -> None:
        present = torch.tensor([parameter.grad is not None for parameter in parameters], dtype=torch.int32)
        self._add(present)  # who has no image has no gradient, and what nobody uses has none anywhere
        used = [parameter for parameter, count in zip(parameters, present.tolist(), strict=True) if count]
        for parameter in used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        _add_in_buckets([parameter.grad for parameter in used if parameter.grad is not None])

    def average(self, tensors: Sequence[Tensor]) -> None:
        if tensors:
            flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
            self._add(flat)
            _spread(flat / self.size, tensors)

    def first(self, value: Tensor) -> Tensor:
        with _exchange():
            dist.broadcast(value, 0)
        return value

    def whole(self, part: Tensor, batch: int, share: Share) -> Tensor:
        most = share.most(batch)
        padded = part.new_zeros((most, *part.shape[1:]))
        padded[: len(part)] = part
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        with _exchange():
            dist.all_gather(parts, padded)
        places = [Share(rank, self.size, share.smallest).of(batch) for rank in range(self.size)]
        return torch.cat([rows[: place.stop - place.start] for rows, place in zip(parts, places, strict=True)])

    def _add(self, value: Tensor) -> None:
        with _exchange():
            dist.all_reduce(value)


def _add_in_buckets(gradients: Sequence[Tensor]) -> None:
    """Sum gradients over the processes, in place; while one bucket travels the next one is packed."""
    finish: Callable[[], None] | None = None
    with _exchange():
        for bucket in _buckets(gradients):
            following = _send(bucket)
            if finish is not None:
                finish()
            finish = following
        if finish is not None:
            finish()


def _send(bucket: Sequence[Tensor]) -> Callable[[], None]:
    """Start to sum a bucket over the processes; gives what waits for the end."""
    flat = bucket[0] if len(bucket) == 1 else torch.cat([gradient.reshape(-1) for gradient in bucket])
    flat = flat.contiguous()
    work = dist.all_reduce(flat, async_op=True)

    def finish() -> None:
        work.wait()
        if flat is not bucket[0]:
            _spread(flat, bucket)

    return finish


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    size = 0
    for gradient in gradients:
        if bucket and (size + gradient.nbytes > BUCKET_BYTES or gradient.dtype != bucket[0].dtype):
            yield bucket
            bucket, size = [], 0
        bucket.append(gradient)
        size += gradient.nbytes
    if bucket:
        yield bucket


def _spread(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    start = 0
    with torch.no_grad():
        for tensor in tensors:
            stop = start + tensor.numel()
            tensor.copy_(flat.reshape(-1)[start:stop].view(tensor.shape))
            start = stop


@contextmanager
def _exchange() -> Iterator[None]:
    """Tell what a backend raises where another process left; memory that is out is another matter."""
    try:
        yield
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise
        raise Disconnected(" ".join(str(error).split())[:200]) from error


@contextmanager
def _loopback() -> Iterator[None]:
    """Inside, gloo listens on the loopback interface alone, unless the user chose another one."""
    names = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    if _INTERFACE in os.environ or not names:
        yield
        return
    os.environ[_INTERFACE] = names[0]
    try:
        yield
    finally:
        del os.environ[_INTERFACE]
