"""Gradient accumulation: a batch that does not fit into memory is computed in micro-batches of half the size."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import Tensor

from foldtune.errors import TrialFailed
from foldtune.trainers.parallel.batch_shard import BatchShard, cut, micro_parts

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
        """Return the size to try next, after `size` did not fit.

        Raises:
            TrialFailed: there is none.
        """
        min_rows = self._shard.min_rows
        tried = min(self.size, self._shard.max_rows(batch))
        if tried <= min_rows:
            needs = "; batch normalisation needs 2" if min_rows > 1 else ""
            raise TrialFailed(f"out of memory at micro-batch {tried}{needs} ({reason}); use a smaller model or image")
        return max(min_rows, tried // 2)
