"""A disk on which every operation can be the last one: a killed process, or a power cut.

After a power cut a disk holds at least what was flushed. Two extremes are tried: names that were not flushed are lost
(`lazy`), and they are there while contents that were not flushed are empty (`eager`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

FOLDER = -1
"""Stands for the inode of a folder."""
OPERATIONS = ("fsync", "replace", "rename", "link", "unlink", "mkdir", "rmdir", "write", "ftruncate")


class Cut(BaseException):
    """The process ends here; what runs after it in the same process fails, too."""


class Disk:
    """Operations below a folder, recorded; from number `last` on each of them is a Cut."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.trace: list[tuple[str, str]] = []
        self.last: int | None = None
        self._names: dict[Path, dict[str, int]] = {}
        self._contents: dict[int, bytes] = {}
        for name in OPERATIONS:
            monkeypatch.setattr(os, name, self._recorded(name, getattr(os, name)))

    def settle(self) -> None:
        """Everything is flushed."""
        for place, _, files in os.walk(self.root):
            self._flush_names(Path(place))
            for name in files:
                path = Path(place, name)
                self._contents[path.stat().st_ino] = path.read_bytes()

    def cuts(self, work: Callable[[], object], prepare: Callable[[], object]) -> Iterator[bool]:
        """Cut `work` at each of its operations, in three ways; yield whether it had ended, with the state left behind.

        `prepare` makes the state before it, in an empty root.
        """
        number = 0
        while True:
            for kind in ("kill", "lazy", "eager"):
                self.last = None
                shutil.rmtree(self.root)
                self.root.mkdir()
                prepare()
                self._names.clear()
                self._contents.clear()
                self.settle()
                self.trace.clear()
                self.last = number
                try:
                    work()
                    ended = True
                except Cut:
                    ended = False
                self.last = None
                if kind != "kill":
                    self._lose_power(eager=kind == "eager")
                yield ended
            if ended:
                return
            number += 1

    def _recorded(self, name: str, operation: Callable[..., Any]) -> Callable[..., Any]:
        def recorded(*args: Any, **kwargs: Any) -> Any:
            path = _path_of(args[0])
            if path is None or not path.is_relative_to(self.root):
                return operation(*args, **kwargs)
            if self.last is not None and len(self.trace) >= self.last:
                raise Cut
            self.trace.append((name, str(path.relative_to(self.root))))
            result = operation(*args, **kwargs)
            if name == "fsync":
                if path.is_dir():
                    self._flush_names(path)
                else:
                    self._contents[os.fstat(args[0]).st_ino] = path.read_bytes()
            return result

        return recorded

    def _flush_names(self, folder: Path) -> None:
        self._names[folder] = _entries(folder)

    def _lose_power(self, *, eager: bool) -> None:
        survivors: dict[Path, bytes | None] = {}
        names = self._all_names() if eager else self._names
        folders = [self.root]
        while folders:
            folder = folders.pop()
            for name, inode in names.get(folder, {}).items():
                path = folder / name
                if inode == FOLDER:
                    folders.append(path)
                    survivors[path] = None
                else:
                    survivors[path] = self._contents.get(inode, b"")
        shutil.rmtree(self.root)
        self.root.mkdir()
        for path, content in sorted(survivors.items()):
            if content is None:
                path.mkdir()
            else:
                path.write_bytes(content)

    def _all_names(self) -> dict[Path, dict[str, int]]:
        return {Path(place): _entries(Path(place)) for place, _, _ in os.walk(self.root)}


def _entries(folder: Path) -> dict[str, int]:
    return {each.name: FOLDER if each.is_dir() else each.stat().st_ino for each in folder.iterdir()}


def _path_of(first: Any) -> Path | None:
    if isinstance(first, int):
        with suppress(OSError):
            return Path(os.readlink(f"/proc/self/fd/{first}"))
        return None
    return Path(os.path.abspath(os.fspath(first)))
