"""Files in a local or mounted folder.

Writes go to a temporary name in the same folder, are flushed to the disk and then renamed, so a reader sees
the old file or the new one even if the writer is killed at any moment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from foldtune.files import make_folder, read_regular, sync_folder, temporary_beside, whole_file
from foldtune.results.storage.backend import FileState, Save, StorageBackend
from foldtune.results.storage.paths import StorePath


class DiskBackend(StorageBackend):
    """A file or a folder on a disk."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> bytes | None:
        try:
            return read_regular(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def write(self, save: Save) -> None:
        with whole_file(self._path) as file:
            save(file)

    def append(self, data: bytes) -> None:
        """Append a line; an incomplete last line of a killed writer is cut off first. One writer per file."""
        make_folder(self._path.parent)
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            end = _cut_incomplete_line(descriptor)
            try:
                _write_all(descriptor, data)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)
        if end == 0:  # the file may be new
            sync_folder(self._path.parent)

    def is_file(self) -> bool:
        return self._path.is_file()

    def state(self) -> FileState | None:
        try:
            return _state(self._path.stat())
        except (FileNotFoundError, NotADirectoryError):
            return None

    def names(self) -> list[str] | None:
        try:
            return sorted(os.listdir(self._path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def listing(self) -> Mapping[str, Mapping[str, FileState]]:
        try:
            with os.scandir(self._path) as entries:
                folders = sorted(each.name for each in entries if each.is_dir())
        except FileNotFoundError:
            return {}
        return {name: _files(f"{self._path}/{name}") for name in folders}

    def tree_size(self) -> int:
        sizes = {}
        for place, _, names in os.walk(self._path):
            for name in names:
                with suppress(FileNotFoundError):
                    stat = os.lstat(os.path.join(place, name))
                    sizes[stat.st_dev, stat.st_ino] = stat.st_size  # models that are taken over are links
        return sum(sizes.values())

    def remove(self) -> int:
        try:
            size = self._path.stat().st_size
            self._path.unlink()
        except FileNotFoundError:
            return 0
        sync_folder(self._path.parent)  # what is removed after it must not outlive it
        return size

    def remove_tree(self) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self._path)
            sync_folder(self._path.parent)

    def copy_to(self, target: StorePath) -> None:
        assert isinstance(target, Path)
        make_folder(target.parent)
        part = temporary_beside(target)
        try:
            os.link(self._path, part)
        except FileNotFoundError:
            raise
        except OSError:  # a file system without links
            with whole_file(target) as file, open(self._path, "rb") as source:
                shutil.copyfileobj(source, file, 1 << 20)
            return
        os.replace(part, target)
        part.unlink(missing_ok=True)  # renaming one name of a file to another of its names does nothing
        sync_folder(target.parent)

    def move_to(self, target: StorePath) -> None:
        assert isinstance(target, Path)
        os.replace(self._path, target)
        sync_folder(target.parent)  # first: the file is at one of its two places at least
        if self._path.parent != target.parent:
            sync_folder(self._path.parent)

    def fetch(self, target: Path) -> bool:
        try:
            shutil.copyfile(self._path, target)
        except FileNotFoundError:
            return False
        return True


def _state(stat: os.stat_result) -> FileState:
    return FileState((stat.st_ino, stat.st_mtime_ns), stat.st_size, stat.st_mtime)


def _files(folder: str) -> dict[str, FileState]:
    """Return the states of a folder's files by name, without those removed meanwhile."""
    files = {}
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for each in entries:
            with suppress(FileNotFoundError):
                if each.is_file():
                    files[each.name] = _state(each.stat())
    return files


def _cut_incomplete_line(descriptor: int) -> int:
    """Truncate the file after its last newline and return its length in bytes."""
    size = os.fstat(descriptor).st_size
    if size == 0 or os.pread(descriptor, 1, size - 1) == b"\n":
        return size
    end = os.pread(descriptor, size, 0).rfind(b"\n") + 1
    os.ftruncate(descriptor, end)
    return end


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
