"""One name in a storage and what can be done with it: the same few operations on a disk and in an object store.

Every operation is whole or absent, and may be repeated where its outcome is not known. Errors are those of the
file system; `results.storage.retry` makes words of them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import IO, NamedTuple

from foldtune.results.storage.paths import StorePath

Save = Callable[[IO[bytes]], object]
"""Writes a file's content; called again where a write is tried again."""


class FileState(NamedTuple):
    """What changes when a file is replaced or appended to: ``modified`` in seconds since 1970, ``size`` in bytes."""

    key: Hashable
    size: int
    modified: float


class StorageBackend(ABC):
    """A file or a folder that need not exist."""

    @abstractmethod
    def read(self) -> bytes | None:
        """Return the file's bytes, None where there is no such file."""

    @abstractmethod
    def write(self, save: Save) -> None:
        """Make the file of what ``save`` writes, with the folders that it lies in."""

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
    def remove(self) -> int:
        """Remove the file and return its bytes, 0 where there is none."""

    @abstractmethod
    def remove_tree(self) -> None:
        """Remove the folder with all that it holds, where there is one."""

    @abstractmethod
    def copy_to(self, target: StorePath) -> None:
        """Give the file a second name in the same storage; neither is changed in place afterwards."""

    @abstractmethod
    def move_to(self, target: StorePath) -> None:
        """Give the file another name in the same storage, in the place of a file that has it."""

    @abstractmethod
    def fetch(self, target: Path) -> bool:
        """Copy the file to a new file of this machine; False where there is no such file."""
