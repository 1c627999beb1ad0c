"""Pixels of arrays and tables as files: written once below the cache folder, and found there again."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock

from foldtune.errors import DataError
from foldtune.home import user_cache_folder
from foldtune.trainers.data.readers.source import ReadOptions
from foldtune.trainers.images.cache_listing import UNPACKED, mark_used

_VERSION = 1
"""Version of the files that are written; another one writes them again."""


def unpacked(path: Path, options: ReadOptions, files: Callable[[], Iterable[tuple[str, bytes]]]) -> Path:
    """Return a folder that holds the images of a container, which is as it was when they were written.

    Args:
        options: folder below which to write; the part and the column of images are part of the folder's name.
        files: called where the folder is not there yet; gives names (relative, unique) and contents.

    Raises:
        DataError: the disk does not take them.
    """
    top = options.unpacked or user_cache_folder() / "foldtune" / UNPACKED
    state = path.stat()
    facts = (_VERSION, os.path.realpath(path), state.st_size, state.st_mtime_ns, options.id_column, options.part)
    folder = top / hashlib.sha256(repr(facts).encode()).hexdigest()[:32]
    try:
        top.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{folder}.lock"):
            if not folder.is_dir():
                _write(folder, files())
    except OSError as error:
        raise DataError([f"{path}: its images cannot be written below {top}: {error}"]) from None
    mark_used(folder)
    return folder


def _write(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    part = folder.with_name(f"{folder.name}.part-{secrets.token_hex(4)}")
    made = set()
    try:
        part.mkdir()
        for name, content in files:
            target = part / name
            if target.parent not in made:
                target.parent.mkdir(parents=True, exist_ok=True)
                made.add(target.parent)
            target.write_bytes(content)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
