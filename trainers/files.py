"""Atomic writes of files."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from foldtune.errors import TrialFailed

_FULL = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the quota is used up",
    errno.EFBIG: "the file is too large",
}


def write_whole(path: Path, data: bytes | memoryview) -> None:
    """Write `data` beside `path`, flush it to the disk, rename it: a reader gets the old file or the new one.

    Raises:
        TrialFailed: no room for the file; the old file at `path` is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException as error:
        Path(name).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _FULL:
            size_mb = len(data) / 1e6
            reason = f"cannot write {path} ({size_mb:.1f} MB): {_FULL[error.errno]}; free space, then resume"
            raise TrialFailed(reason) from error
        raise
