"""A run as one archive file, and its removal."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

from foldtune.errors import InputError, RunExists, StorageError
from foldtune.files import is_temporary, whole_file
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import remove_file, remove_tree, tree_size
from foldtune.results.storage.paths import StorePath, as_path
from foldtune.results.storage.retry import storage_errors
from foldtune.results.upkeep.protection import require_unprotected

ARCHIVE = "archive"
"""Folder of a storage that holds archived runs."""


def remove_run(store: RunStore, storage: StorePath | str) -> int:
    """Remove a run that nobody works on or needs; return its size in bytes.

    Raises:
        RunBusy: a process works on it.
        RunProtected: its trials vote elsewhere, or its ensemble is in use.
    """
    require_unprotected(store, storage)
    with store.lock():
        size = tree_size(store.root)
        remove_file(store.config_path)  # from here on it is no run
        remove_tree(store.root)
    remove_tree(store.root)  # in an object store the lock leaves its lease
    return size


def archive_run(store: RunStore, storage: StorePath | str) -> tuple[Path, int]:
    """Put a run into STORAGE/archive/NAME.tar, which `tar -xf` brings back, and remove its folder.

    Returns:
        The archive, and its size in bytes.

    Raises:
        InputError: the storage is no folder.
        RunExists: there is an archive of that name.
        RunBusy, RunProtected: as `remove_run`.
    """
    root, folder = store.root, as_path(storage)
    if not isinstance(root, Path) or not isinstance(folder, Path):
        raise InputError(f"{store.root}: runs of an object store are not archived; copy them with its own tools")
    require_unprotected(store, storage)
    target = folder / ARCHIVE / f"{store.name}.tar"
    if target.exists():
        raise RunExists(f"{target} exists: rename it first")
    with store.lock(), storage_errors(target, "write"):
        files = sorted(path for path in root.rglob("*") if path.is_file() and not _left_out(path))
        with whole_file(target) as file, tarfile.open(fileobj=file, mode="w") as archive:
            for path in files:
                archive.add(path, f"{store.name}/{path.relative_to(root).as_posix()}", recursive=False)
        _check(target, len(files))
    remove_run(store, storage)
    return target, os.stat(target).st_size


def _left_out(path: Path) -> bool:
    return is_temporary(path.name) or path.name == ".lock"


def _check(target: Path, count: int) -> None:
    with tarfile.open(target) as archive:
        found = len(archive.getmembers())
    if found != count:
        raise StorageError(f"{target} holds {found} of {count} files; the run stays as it is")
