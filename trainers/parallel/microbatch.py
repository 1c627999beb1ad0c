"""The images of a batch that each process computes, in parts that fit into memory."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from foldtune.errors import TrialFailed


def cut(rows: int, parts: int) -> list[slice]:
    """Return `rows` cut into `parts` nearly equal, contiguous parts, in order.

    >>> cut(5, 2)
    [slice(0, 2, None), slice(2, 5, None)]
    """
    edges = [rows * part // parts for part in range(parts + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def micro_parts(most: int, fewest: int, size: int, min_rows: int) -> int:
    """Return the number of parts that gives `most` rows about `size` each, and `fewest` rows at least `min_rows`."""
    return max(1, min(math.ceil(most / size), fewest // min_rows))


@dataclass(frozen=True)
class BatchShard:
    """The part of every batch that one of several processes computes; by default all of it.

    Attributes:
        rank: rank of the process, from 0.
        processes: number of processes, at least 1.
        min_rows: fewest images of a process; a batch too small for that is computed by fewer processes.
        equal_parts: whether all processes cut their rows into the same number of parts.
    """

    rank: int = 0
    processes: int = 1
    min_rows: int = 1
    equal_parts: bool = False

    def rows(self, batch: int) -> slice:
        """Return this process's rows of `batch` rows; none where the batch is too small for all processes."""
        parts = cut(batch, self._active_processes(batch))
        return parts[self.rank] if self.rank < len(parts) else slice(batch, batch)

    def max_rows(self, batch: int) -> int:
        """Return the rows of the process that has most of a batch."""
        return math.ceil(batch / self._active_processes(batch))

    def micro_batches(self, batch: int, size: int) -> list[slice]:
        """Return this process's rows of a batch, counted from its first, in parts of about `size`."""
        own = self.rows(batch)
        rows = own.stop - own.start
        most = fewest = rows
        if self.equal_parts:
            most, fewest = self.max_rows(batch), batch // self._active_processes(batch)
        return cut(rows, micro_parts(most, fewest, size, self.min_rows)) if rows else []

    def _active_processes(self, batch: int) -> int:
        return max(1, min(self.processes, batch // self.min_rows))


_MEMORY_MESSAGES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cannot allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` means that a device or the machine has no memory left.

    torch has a type for its GPU allocator only: its CPU allocator, cuBLAS and cuDNN raise RuntimeError.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY_MESSAGES)


def slices(batch: int, size: int, min_rows: int = 1) -> list[slice]:
    """Return `batch` rows cut into nearly equal parts of about `size`, none under `min_rows` where that is possible.

    Equal parts rather than full ones and a rest: a rest of one image would break batch normalisation.
    """
    return cut(batch, micro_parts(batch, batch, size, min_rows))


class MicroBatches:
    """Computes a batch in parts that fit into memory. `size` only ever shrinks, and is part of a checkpoint.

    Args:
        size: images a part at the beginning, at least 1.
        shard: the rows of a batch that this process computes.
    """

    def __init__(self, size: int, shard: BatchShard | None = None) -> None:
        self.size = size
        self._shard = shard or BatchShard()

    def run(
        self,
        batch: int,
        part: Callable[[slice], Tensor],
        undo: Callable[[], None],
        agree: Callable[[str | None], str | None] = lambda reason: reason,
    ) -> Tensor:
        """Return the sum of ``part(rows)`` over parts of this process's rows of the batch, 0 where it has none.

        Where a part does not fit, all is computed again in parts of half the size.

        Args:
            batch: rows of the whole batch.
            part: adds the gradient of some rows, counted from this process's first; returns their loss, ().
            undo: removes the gradients that parts have added.
            agree: from the reason why this process ran out of memory, None for none, to that of any process.

        Raises:
            TrialFailed: the smallest part does not fit.
        """
        while True:
            losses: list[Tensor] = []
            reason = None
            try:
                losses = [part(rows) for rows in self._shard.micro_batches(batch, self.size)]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0] if str(error) else "no memory"
            reason = agree(reason)
            if reason is None:
                return losses[0] if len(losses) == 1 else torch.stack(losses or [torch.zeros(())]).sum()
            # Only here, with the exception and its frames gone, can the activations be freed.
            undo()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self.size = self.smaller(batch, reason)

    def halve(self) -> None:
        """Compute parts half as large from now on, where there are smaller ones."""
        self.size = max(self._shard.min_rows, self.size // 2)

    def smaller(self, batch: int, reason: str) -> int:
        """Return the size to try next, after `size` did not fit. Raises TrialFailed: there is none."""
        min_rows = self._shard.min_rows
        tried = min(self.size, self._shard.max_rows(batch))
        if tried <= min_rows:
            needs = "; batch normalisation needs 2" if min_rows > 1 else ""
            raise TrialFailed(f"out of memory at micro-batch {tried}{needs} ({reason}); use a smaller model or image")
        return max(min_rows, tried // 2)
