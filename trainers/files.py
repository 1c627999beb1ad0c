"""Atomic writes of files, whose errors are a trial's."""

from __future__ import annotations

import errno
from pathlib import Path

from foldtune.errors import SurroundingsFailed
from foldtune.files import whole_file

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file is too large",
}


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write `data` beside `path`, flush it to the disk, rename it: a reader gets the old file or the new one.

    Raises:
        SurroundingsFailed: no room for the file; the old file at `path` is unchanged.
    """
    try:
        with whole_file(path) as file:
            file.write(data)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        size_mb = len(data) / 1e6
        reason = f"cannot write {path} ({size_mb:.1f} MB): {_FULL[error.errno]}; free space, then resume"
        raise SurroundingsFailed(reason) from error
