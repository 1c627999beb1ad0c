"""A path in a storage and its operations: the same few on a disk and in an object store.

Every operation is atomic and idempotent, so it may be repeated where its outcome is not known. Errors are those of the
file system; `results.storage.retry` turns them into StorageError.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from foldtune.results.storage.paths import StorePath

Save = Callable[[IO[bytes]], object]
"""Writes a file's content to the given binary file; called once more at each retry."""


class FileState(NamedTuple):
    """Version of a file: ``key`` changes with every write; ``size`` in bytes, ``modified`` in seconds since 1970."""

    key: Hashable
    size: int
    modified: float


class StorageBackend(ABC):
    """A file or a folder, which need not exist."""

    @abstractmethod
    def read(self) -> bytes | None:
        """Return the file's bytes, None where there is no such file."""

    @abstractmethod
    def write(self, save: Save) -> None:
        """Create or replace the file with what ``save`` writes, parent folders included."""

    @abstractmethod
    def is_file(self) -> bool:
        """Whether there is such a file."""

    @abstractmethod
    def state(self) -> FileState | None:
        """Return the file's state, None where there is no such file."""

    @abstractmethod
    def names(self) -> list[str] | None:
        """Return the names in the folder, sorted; None where there is no such folder."""

    @abstractmethod
    def listing(self) -> Mapping[str, Mapping[str, FileState]]:
        """Return the files of each sub-folder by name; {} where there is no such folder."""

    @abstractmethod
    def tree_size(self) -> int:
        """Return the bytes of all files below the folder, 0 where there is none."""

    @abstractmethod
    def remove(self) -> int:
        """Remove the file and return its size in bytes, 0 where there is none."""

    @abstractmethod
    def remove_tree(self) -> None:
        """Remove the folder recursively, if it exists."""

    @abstractmethod
    def copy_to(self, target: StorePath) -> None:
        """Copy or link the file within its storage; neither name is changed in place afterwards."""

    @abstractmethod
    def move_to(self, target: StorePath) -> None:
        """Rename the file within its storage, replacing an existing target."""

    @abstractmethod
    def fetch(self, target: Path) -> bool:
        """Copy the file to a local file; return False where there is no such file."""
