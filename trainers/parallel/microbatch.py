"""Batches that do not fit into memory: halve the micro-batch, redo the batch, accumulate its gradient."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from torch import Tensor

from foldtune.errors import TrialFailed
from foldtune.trainers.parallel.shares import Share, cut, micro_parts

_MEMORY_MESSAGES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "cannot allocate memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that a device or the machine has no memory left.

    torch has a type for its GPU allocator only: its CPU allocator, cuBLAS and cuDNN raise RuntimeError.
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MEMORY_MESSAGES)


def slices(batch: int, size: int, smallest: int = 1) -> list[slice]:
    """Cut `batch` rows into nearly equal parts of about `size`, none under `smallest` where that is possible.

    Equal parts rather than full ones and a rest: a rest of one image would break batch normalisation.
    """
    return cut(batch, micro_parts(batch, batch, size, smallest))


class MicroBatches:
    """Runs a batch in parts that fit. `size` only ever shrinks, and is part of a checkpoint.

    Args:
        size: images at a time to begin with.
        share: the rows of a batch that this process computes.
        out_of_memory: tells in each of several processes why any of them ran out of memory, given why this one did.
    """

    def __init__(
        self,
        size: int,
        *,
        share: Share | None = None,
        out_of_memory: Callable[[str | None], str | None] = lambda reason: reason,
    ) -> None:
        self.size = size
        self._share = share or Share()
        self._out_of_memory = out_of_memory

    def run(self, batch: int, part: Callable[[slice], Tensor], undo: Callable[[], None]) -> Tensor:
        """The sum of ``part(rows)`` over slices of this process's share of the batch's rows, 0 where it has none.

        `part` adds its rows' share of the batch's gradient; `undo` forgets what parts have added so far. Several
        processes try again together.

        Raises:
            TrialFailed: the smallest part does not fit.
        """
        while True:
            losses: list[Tensor] = []
            reason = None
            try:
                losses = [part(rows) for rows in self._share.micro(batch, self.size)]
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0] if str(error) else "no memory"
            reason = self._out_of_memory(reason)
            if reason is None:
                return losses[0] if len(losses) == 1 else torch.stack(losses or [torch.zeros(())]).sum()
            # Only here, with the exception and its frames gone, can the activations be freed.
            undo()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._halve(batch, reason)

    def halve(self) -> None:
        """Take parts half as large from now on, where there are smaller ones."""
        self.size = max(self._share.smallest, self.size // 2)

    def _halve(self, batch: int, reason: str) -> None:
        smallest = self._share.smallest
        tried = min(self.size, self._share.most(batch))
        if tried <= smallest:
            needs = "; batch normalisation needs 2" if smallest > 1 else ""
            raise TrialFailed(f"out of memory at micro-batch {tried}{needs} ({reason}); use a smaller model or image")
        self.size = max(smallest, tried // 2)
