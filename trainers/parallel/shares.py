"""Which images of a batch each of several processes computes."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass


def cut(rows: int, parts: int) -> list[slice]:
    """`rows` in `parts` nearly equal, contiguous parts, in order."""
    edges = [rows * part // parts for part in range(parts + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]


def micro_parts(most: int, fewest: int, size: int, smallest: int) -> int:
    """Parts into which to cut `most` rows for about `size` each, and `fewest` rows for none under `smallest`."""
    return max(1, min(math.ceil(most / size), fewest // smallest))


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of several processes computes; by default all of it.

    Attributes:
        rank: of the process, from 0.
        processes: in all.
        smallest: images without which there is no part: a smaller batch is computed by fewer processes.
        even: whether each process cuts its rows into as many parts as all others, since they meet in each of them.
    """

    rank: int = 0
    processes: int = 1
    smallest: int = 1
    even: bool = False

    def of(self, batch: int) -> slice:
        """This process's rows of a batch of so many; none where the batch is too small for all processes."""
        parts = cut(batch, self._taking_part(batch))
        return parts[self.rank] if self.rank < len(parts) else slice(batch, batch)

    def most(self, batch: int) -> int:
        """Rows of the process that has most of a batch."""
        return math.ceil(batch / self._taking_part(batch))

    def micro(self, batch: int, size: int) -> list[slice]:
        """This process's rows of a batch, counted from its first, in parts of about `size`."""
        own = self.of(batch)
        rows = own.stop - own.start
        most, fewest = (self.most(batch), batch // self._taking_part(batch)) if self.even else (rows, rows)
        return cut(rows, micro_parts(most, fewest, size, self.smallest)) if rows else []

    def _taking_part(self, batch: int) -> int:
        return max(1, min(self.processes, batch // self.smallest))
