"""Digests of image files' contents: a file is read again only where its size or time has changed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.trainers.files import write_whole
from foldtune.trainers.images.sources import file_state

MEMO = "contents.csv"
"""File in an image cache that holds the digests of its images."""
ABSENT = -1
"""Size and time of a file that cannot be read."""
_READERS = 8
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Contents:
    """Contents of N files.

    Attributes:
        sizes: (N,) bytes, ABSENT for a file that cannot be read.
        times_ns: (N,) times of the last change, in nanoseconds since 1970.
        digests: (N,) digests of 32 hex digits, "" for a file that cannot be read.
    """

    sizes: npt.NDArray[np.int64]
    times_ns: npt.NDArray[np.int64]
    digests: npt.NDArray[np.str_]

    def select(self, rows: npt.NDArray[Any]) -> Contents:
        """Return the contents of some files, by indices or a mask."""
        return Contents(self.sizes[rows], self.times_ns[rows], self.digests[rows])


def read_contents(
    paths: Sequence[Path], *, known: Mapping[int, tuple[int, int, str]] | None = None, memo: Path | None = None
) -> Contents:
    """Return the contents of files, several of which are read at a time.

    Args:
        known: (size, time in nanoseconds, digest) by place in `paths`; of the same size and time the digest holds.
        memo: image cache of exactly these files, whose digests are taken from it, or put into it.
    """
    if memo is not None and (kept := _read_memo(memo / MEMO, len(paths))) is not None:
        return kept
    states = [file_state(path)[:2] for path in paths]
    known = known or {}
    digests = [""] * len(paths)
    changed = []
    for row, state in enumerate(states):
        size, time_ns, digest = known.get(row, (ABSENT, ABSENT, ""))
        if digest and (size, time_ns) == state:
            digests[row] = digest
        elif state[0] != ABSENT:
            changed.append(row)
    with ThreadPoolExecutor(_READERS) as readers:  # hashing and reading both leave the interpreter's lock
        for row, digest in zip(changed, readers.map(_digest, (paths[row] for row in changed)), strict=True):
            digests[row] = digest
    columns = np.array(states, dtype=np.int64).reshape(-1, 2)
    contents = Contents(columns[:, 0], columns[:, 1], np.array(digests, dtype=np.str_))
    if memo is not None and all(digests):
        _write_memo(memo / MEMO, contents)
    return contents


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()[:32]


def _read_memo(path: Path, count: int) -> Contents | None:
    """Return the contents stored in an image cache, whose name is a digest of the files' sizes and times."""
    try:
        rows = [line.split(",") for line in path.read_text().splitlines()]
        sizes, times_ns, digests = zip(*rows, strict=True)
        if len(rows) != count:
            return None
        return Contents(np.array(sizes, dtype=np.int64), np.array(times_ns, dtype=np.int64), np.array(digests))
    except (OSError, ValueError):
        return None


def _write_memo(path: Path, contents: Contents) -> None:
    lines = zip(contents.sizes.tolist(), contents.times_ns.tolist(), contents.digests.tolist(), strict=True)
    with suppress(OSError):  # a cache that cannot be written to is read again
        write_whole(path, "".join(f"{size},{time_ns},{digest}\n" for size, time_ns, digest in lines).encode())
