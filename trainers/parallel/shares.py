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
    """Parts of about `size` of `most` images, such that those of `fewest` images are none under `smallest`."""
    return max(1, min(math.ceil(most / size), fewest // smallest))


@dataclass(frozen=True)
class Share:
    """The part of every batch that one of several processes computes; by default all of it.

    Attributes:
        rank: of the process, from 0.
        processes: in all.
        smallest: images without which there is no part: a smaller batch is computed by fewer processes.
    """

    rank: int = 0
    processes: int = 1
    smallest: int = 1

    def of(self, batch: int) -> slice:
        """This process's rows of a batch of so many; none where the batch is too small for all processes."""
        parts = cut(batch, self._taking_part(batch))
        return parts[self.rank] if self.rank < len(parts) else slice(batch, batch)

    def most(self, batch: int) -> int:
        """Rows of the process that has most of a batch."""
        return math.ceil(batch / self._taking_part(batch))

    def micro(self, batch: int, size: int) -> list[slice]:
        """This process's rows of a batch, counted from its first, in as many parts of about `size` as all others."""
        taking_part = self._taking_part(batch)
        own = self.of(batch)
        parts = micro_parts(math.ceil(batch / taking_part), batch // taking_part, size, self.smallest)
        return cut(own.stop - own.start, parts) if own.stop > own.start else []

    def _taking_part(self, batch: int) -> int:
        return max(1, min(self.processes, batch // self.smallest))
