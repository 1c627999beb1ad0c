"""Batches that do not fit into memory: halve the micro-batch, redo the batch, accumulate its gradient."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from trainers.errors import TrialFailed

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


def slices(batch: int, size: int, smallest: int = 1) -> Iterator[slice]:
    """Cut `batch` rows into nearly equal parts of about `size`, none under `smallest` where that is possible.

    Equal parts rather than full ones and a rest: a rest of one image would break batch normalisation.
    """
    parts = max(1, min(math.ceil(batch / size), batch // smallest))
    edges = [batch * part // parts for part in range(parts + 1)]
    return (slice(start, stop) for start, stop in itertools.pairwise(edges))


class MicroBatches:
    """Runs a batch in parts that fit. `size` only ever shrinks, and is part of a checkpoint."""

    def __init__(self, size: int, *, smallest: int = 1) -> None:
        self.size = size
        self._smallest = smallest

    def run(self, batch: int, part: Callable[[slice], Tensor], undo: Callable[[], None]) -> Tensor:
        """The sum of ``part(rows)`` over slices of the batch's rows.

        `part` adds its rows' share of the batch's gradient; `undo` forgets what parts have added so far.

        Raises:
            TrialFailed: the smallest part does not fit.
        """
        while True:
            try:
                losses = [part(rows) for rows in slices(batch, self.size, self._smallest)]
                return losses[0] if len(losses) == 1 else torch.stack(losses).sum()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0] if str(error) else "no memory"
            # Only here, with the exception and its frames gone, can the activations be freed.
            undo()
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._halve(batch, reason)

    def halve(self) -> None:
        """Take parts half as large from now on, where there are smaller ones."""
        self.size = max(self._smallest, self.size // 2)

    def _halve(self, batch: int, reason: str) -> None:
        tried = min(self.size, batch)
        if tried <= self._smallest:
            needs = "; batch normalisation needs 2" if self._smallest > 1 else ""
            raise TrialFailed(f"out of memory at micro-batch {tried}{needs} ({reason}); use a smaller model or image")
        self.size = max(self._smallest, tried // 2)
