"""The image caches of a folder: their sizes, when they were used last, and their removal."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

_CACHE = re.compile(r"[0-9a-f]{32}")
UNPACKED = "unpacked"
"""Folder, in that of the caches, of images that arrays and tables hold as pixels or bytes."""
_PART = re.compile(r"([0-9a-f]{32})\.part-\w+")


@dataclass(frozen=True)
class CacheEntry:
    """An image cache, or part of one whose builder was killed.

    Attributes:
        size: bytes.
        used_s: time of its last use, in seconds since 1970.
        torn: whether its builder was killed.
    """

    path: Path
    size: int
    used_s: float
    torn: bool


def list_caches(folder: Path) -> list[CacheEntry]:
    """Return the image caches in a folder, the one used last first; other files of the folder are left alone."""
    return sorted(_entries(folder), key=lambda entry: -entry.used_s)


def _entries(folder: Path) -> Iterator[CacheEntry]:
    if not folder.is_dir():
        return
    unpacked = folder / UNPACKED
    for path in [*folder.iterdir(), *(unpacked.iterdir() if unpacked.is_dir() else ())]:
        torn = _PART.fullmatch(path.name)
        if (torn is None and _CACHE.fullmatch(path.name) is None) or path.is_symlink() or not path.is_dir():
            continue
        if torn is not None and _is_locked(path.with_name(torn[1])):  # its builder is at work
            continue
        with suppress(FileNotFoundError):
            sizes = [file.stat().st_size for file in path.rglob("*") if file.is_file()]
            yield CacheEntry(path, sum(sizes), path.stat().st_mtime, torn is not None)


def mark_used(cache: Path) -> None:
    """Note that a cache is used now, where this user may."""
    with suppress(OSError):
        os.utime(cache)


def clear_caches(folder: Path, unused_s: float) -> tuple[int, int]:
    """Remove torn caches, and those unused for so many seconds; return their number and bytes.

    A process that has opened one goes on reading it.
    """
    count = freed = 0
    for entry in list_caches(folder):
        if not entry.torn and time.time() - entry.used_s < unused_s:
            continue
        lock = entry.path.with_name(f"{entry.path.name.partition('.')[0]}.lock")
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            shutil.rmtree(entry.path)
            lock.unlink(missing_ok=True)
            count, freed = count + 1, freed + entry.size
    return count, freed


def _is_locked(cache: Path) -> bool:
    try:
        with FileLock(f"{cache}.lock", timeout=0):
            return False
    except Timeout:
        return True
    except OSError:
        return False
