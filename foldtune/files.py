"""Whole writes of local files: their order on the disk, and the names of what a killed writer leaves.

A file is written under a temporary name, flushed to the disk, renamed, and the rename is flushed. Whichever process is
killed at whichever moment, a reader gets the old file or the new one; after a power cut the same holds, and a file that
was written before another is there if the other is.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

MIN_AGE_S = 2.0
"""Age from which on a temporary file may be removed where another process may be writing."""
SCRATCH_LOCK = ".lock"
UNLOCKED_AGE_S = 7 * 86_400.0
"""Age from which on a scratch folder without a lock counts as abandoned."""
_SCRATCH = re.compile(r"foldtune-(?:tune|job|predict|upload|download|pool|audit)-\w+")
_TEMPORARY = re.compile(
    r"\..+\.[0-9a-f]{12}\.tmp"
    r"|\..+\.part"  # of version 0.2 and before, as the next line
    r"|\.(?:weights|fold_\d+)\.safetensors\.[a-z0-9_]{8}|\.checkpoint\.pt\.[a-z0-9_]{8}"
)


def temporary_beside(path: Path) -> Path:
    """Return an unused temporary name in the folder of a file.

    >>> is_temporary(temporary_beside(Path("trials/0001/scores.npz")).name)
    True
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `temporary_beside` made, in this version or one of before.

    >>> is_temporary(".lock"), is_temporary(".weights.safetensors.0123456789ab.tmp")
    (False, True)
    """
    return _TEMPORARY.fullmatch(name) is not None


def write_content(path: Path, content: str | bytes) -> None:
    """Write a text, in UTF-8, or bytes to a file. Raises OSError."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def read_regular(path: Path) -> bytes:
    """Return the content of a file that somebody else may have made: a device or a pipe, which may never end, is none.

    Raises:
        OSError: no such file, one that cannot be read, a device or a pipe.
    """
    # Opening a pipe would wait for its writer.
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "a device or a pipe, not a file", str(path))
        return file.read()


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Yield a binary file that replaces ``path`` when the block ends, and is removed if the block raises."""
    make_folder(path.parent)
    temporary = temporary_beside(path)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


@contextmanager
def scratch_folder(purpose: str) -> Iterator[Path]:
    """Yield a new folder among the temporary files, and remove it when the block ends.

    A lock in it is held meanwhile, by which `sweep_scratch` finds out that the process was killed.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"foldtune-{purpose}-"))
    try:
        with open(folder / SCRATCH_LOCK, "xb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def scratch_folders() -> Iterator[tuple[Path, bool]]:
    """Yield this user's scratch folders of foldtune, and whether their process was killed.

    One without a lock, of a version of before, counts as abandoned after a week.
    """
    for folder in sorted(Path(tempfile.gettempdir()).iterdir()):
        if _SCRATCH.fullmatch(folder.name) is None:
            continue
        with suppress(OSError):
            state = folder.lstat()
            if stat.S_ISDIR(state.st_mode) and state.st_uid == os.getuid():
                yield folder, _is_abandoned(folder, state.st_mtime)


def _is_abandoned(folder: Path, modified_s: float) -> bool:
    try:
        with open(folder / SCRATCH_LOCK, "rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return time.time() - modified_s > UNLOCKED_AGE_S
    except OSError:  # held, or another user's
        return False


def sweep_scratch() -> None:
    """Remove the scratch folders of this user's killed processes."""
    for folder, abandoned in scratch_folders():
        if abandoned:
            shutil.rmtree(folder, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, durably."""
    missing = []
    while not folder.is_dir():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        with suppress(FileExistsError):
            each.mkdir()
        sync_folder(each.parent)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the file system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sweep(folder: Path, min_age_s: float = MIN_AGE_S) -> int:
    """Remove the temporary files of killed writers below a folder; return the bytes that this freed."""
    freed = 0
    latest_s = time.time() - min_age_s
    for place, _, names in os.walk(folder):
        for name in filter(is_temporary, names):
            with suppress(OSError):
                path = Path(place, name)
                state = path.stat()
                if state.st_mtime <= latest_s:
                    path.unlink()
                    freed += state.st_size
    return freed
