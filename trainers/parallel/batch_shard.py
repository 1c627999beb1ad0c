"""The images of a batch that each of several processes computes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass


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
