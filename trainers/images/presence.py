"""Waiting for image files that are away for a while, as on a network file system."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from foldtune.errors import BrokenImage, SurroundingsFailed

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
    for wait_s in waits_s:
        try:
            return read(path)
        except BrokenImage as error:
            if not _is_away(path, error):
                raise
        time.sleep(wait_s)
    try:
        return read(path)
    except BrokenImage as error:
        if not _is_away(path, error):
            raise
        reason = f"image {path} is away for {sum(waits_s):.0f} s; --resume tries the trial again"
        raise SurroundingsFailed(reason) from error


def _is_away(path: Path, error: BrokenImage) -> bool:
    cause = error.__cause__
    return not path.exists() or (isinstance(cause, OSError) and cause.errno in _AWAY)


def _away(paths: Sequence[Path], states: Sequence[State]) -> str:
    gone = [path for path, state in zip(paths, states, strict=True) if state == ABSENT]
    return f"{len(gone)} of {len(paths)} images are away (first: {gone[0]})"
