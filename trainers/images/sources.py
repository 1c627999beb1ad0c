"""Image sources of a training: a memory-mapped cache, or the files, which may be away for a while."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from foldtune.errors import BrokenImage, DataError, SurroundingsFailed
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.images.reading import Uint8Array

T = TypeVar("T")
State = tuple[int, int, int]
"""Size in bytes, time of the last change in nanoseconds, and mode of a file."""

WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 29.0)
"""Pauses in seconds between tries: a minute in total, as for a storage."""
ABSENT: State = (-1, -1, -1)
_AWAY = {errno.ENOENT, errno.ENOTDIR, errno.ESTALE, errno.EIO, errno.ENOTCONN, errno.ETIMEDOUT, errno.EHOSTDOWN}

_log = logging.getLogger("foldtune.images")


def file_state(path: Path) -> State:
    """Return the state of a file, ABSENT where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return ABSENT
    return stat.st_size, stat.st_mtime_ns, stat.st_mode


def present_states(paths: Sequence[Path], waits_s: Sequence[float] = WAITS_S) -> list[State]:
    """Return the states of image files that were there before, once all of them are there again.

    Raises:
        SurroundingsFailed: some are still away after the last pause.
    """
    states = [file_state(path) for path in paths]
    for number, wait_s in enumerate(waits_s):
        if ABSENT not in states:
            return states
        if number == 0:
            _log.warning("%s: waiting for %.0f s", _away(paths, states), sum(waits_s))
        time.sleep(wait_s)
        states = [file_state(path) for path in paths]
    if ABSENT in states:
        raise SurroundingsFailed(f"{_away(paths, states)} for {sum(waits_s):.0f} s; --resume tries the trial again")
    return states


def read_present(path: Path, read: Callable[[Path], T], waits_s: Sequence[float] = WAITS_S) -> T:
    """Return ``read(path)`` of an image file that was there before, tried again while it is away.

    Raises:
        SurroundingsFailed: it is still away after the last pause.
        BrokenImage: it is there and cannot be decoded.
    """
    for wait_s in (*waits_s, None):
        try:
            return read(path)
        except BrokenImage as error:
            if not _is_away(path, error):
                raise
            if wait_s is None:
                reason = f"image {path} is away for {sum(waits_s):.0f} s; --resume tries the trial again"
                raise SurroundingsFailed(reason) from error
        time.sleep(wait_s)
    raise AssertionError("the last try returns or raises")


def _is_away(path: Path, error: BrokenImage) -> bool:
    cause = error.__cause__
    return not path.exists() or (isinstance(cause, OSError) and cause.errno in _AWAY)


def _away(paths: Sequence[Path], states: Sequence[State]) -> str:
    gone = [path for path, state in zip(paths, states, strict=True) if state == ABSENT]
    return f"{len(gone)} of {len(paths)} images are away (first: {gone[0]})"


Rows = npt.NDArray[np.integer[Any]]


class ImageSource(Protocol):
    """N RGB images of one size, read by row."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, height, width, 3)."""

    def __len__(self) -> int: ...

    def read(self, rows: Rows) -> Uint8Array:
        """Return a new array (B, height, width, 3), in the order of `rows` (B,)."""


class CachedImages:
    """Images of a cache file, mapped on first use; pickles as its path alone.

    Args:
        shape: (N, height, width, 3) of the file.
        index: rows of the file that are images of this source; None is all of them.
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int], index: Rows | None = None) -> None:
        self.path = path
        self._stored = shape
        self._index = index
        self._mapped: Uint8Array | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self._stored if self._index is None else (len(self._index), *self._stored[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def read(self, rows: Rows) -> Uint8Array:
        if self._mapped is None:
            mapped = np.load(self.path, mmap_mode="r", allow_pickle=False)
            if mapped.shape != self._stored or mapped.dtype != np.uint8:
                raise DataError([f"{self.path}: is not the cache it was; delete it and start again"])
            self._mapped = mapped.view(np.ndarray)
        return self._mapped[rows if self._index is None else self._index[rows]]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_mapped": None}


@dataclass(frozen=True, eq=False)
class DecodedImages:
    """Images decoded at every read, for data whose cache would not fit the disk."""

    paths: tuple[Path, ...]
    preprocessing: ImagePreprocessing

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (len(self.paths), *self.preprocessing.size, 3)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, rows: Rows) -> Uint8Array:
        images = np.empty((len(rows), *self.preprocessing.size, 3), dtype=np.uint8)
        for index, row in enumerate(rows):
            images[index] = read_present(self.paths[row], self.preprocessing.read)
        return images
