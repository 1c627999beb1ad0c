"""Objects under a URL, through fsspec: a PUT is atomic, and a folder is a prefix."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldtune.files import scratch_folder
from foldtune.results.storage.backend import FileState, Save, StorageBackend
from foldtune.results.storage.paths import StorePath

if TYPE_CHECKING:
    from upath import UPath

_VERSIONS = ("ETag", "etag", "md5Hash", "ino", "mtime", "LastModified", "last_modified", "updated", "created")
"""Fields of fsspec's file systems that change when a file is replaced; each file system has some of them."""
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")


class ObjectBackend(StorageBackend):
    """An object, or the prefix of several."""

    def __init__(self, path: UPath) -> None:
        self._fs: Any = path.fs
        self._path = path.path

    def read(self) -> bytes | None:
        try:
            content: bytes = self._fs.cat_file(self._path)
        except FileNotFoundError:
            return None
        return content

    def write(self, save: Save) -> None:
        # Through a local file, since scores may not fit into memory twice.
        with scratch_folder("upload") as scratch:
            part = scratch / "part"
            with open(part, "xb") as file:
                save(file)
            self.upload(part)

    def upload(self, source: Path) -> None:
        """Create the object from a local file."""
        self._fs.put_file(str(source), self._path)

    def write_new(self, data: bytes) -> bool:
        """Create the object where there is none; return whether it was created. Of concurrent calls one succeeds."""
        try:
            self._fs.pipe_file(self._path, data, mode="create")
        except FileExistsError:
            return False
        return True

    def is_file(self) -> bool:
        return self.state() is not None

    def state(self) -> FileState | None:
        try:
            info = self._fs.info(self._path)
        except FileNotFoundError:
            return None
        return _state(info) if info["type"] == "file" else None

    def names(self) -> list[str] | None:
        try:
            found = self._fs.ls(self._path, detail=False)
        except FileNotFoundError:
            return None
        return sorted({name.rstrip("/").rpartition("/")[2] for name in found if name.rstrip("/") != self._path})

    def listing(self) -> Mapping[str, Mapping[str, FileState]]:
        try:
            found = self._fs.find(self._path, detail=True)
        except FileNotFoundError:
            return {}
        files: dict[str, dict[str, FileState]] = {}
        for name, info in found.items():
            folder, _, file = name[len(self._path) :].strip("/").partition("/")
            if file and "/" not in file:
                files.setdefault(folder, {})[file] = _state(info)
        return files

    def tree_size(self) -> int:
        try:
            return int(self._fs.du(self._path))
        except FileNotFoundError:
            return 0

    def remove(self) -> int:
        state = self.state()
        with suppress(FileNotFoundError):
            self._fs.rm_file(self._path)
        return 0 if state is None else state.size

    def remove_tree(self) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm(self._path, recursive=True)

    def copy_to(self, target: StorePath) -> None:
        assert not isinstance(target, Path)
        self._fs.cp_file(self._path, target.path)

    def move_to(self, target: StorePath) -> None:
        if self.is_file():  # else an earlier try whose response was lost has moved it
            self.copy_to(target)
            self.remove()

    def fetch(self, target: Path) -> bool:
        try:
            self._fs.get_file(self._path, str(target))
        except FileNotFoundError:
            return False
        return True


def _state(info: Mapping[str, Any]) -> FileState:
    key: Hashable = tuple(str(info[name]) for name in _VERSIONS if name in info)
    time = next((info[name] for name in _TIMES if info.get(name) is not None), 0.0)
    return FileState(key, int(info["size"]), time.timestamp() if isinstance(time, datetime) else float(time))
