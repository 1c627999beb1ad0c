"""The images of a folder: its links are followed, and what is left out is counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from foldtune.trainers.images.reading import image_suffixes

HIDDEN, OTHER = "hidden or checkpoint files", "files that are no images by their name"
BROKEN, AGAIN, CLOSED = "links to nothing", "links to folders that are read already", "folders that cannot be read"
"""Reasons for which entries of a folder are left out."""


@dataclass(frozen=True)
class FolderImages:
    """Images of a folder.

    Attributes:
        paths: image files, sorted.
        left_out: number of entries that are left out, by reason.
    """

    paths: tuple[Path, ...]
    left_out: Mapping[str, int]


def read_folder(folder: Path) -> FolderImages:
    """Return the images in a folder and its subfolders, by the suffixes that training reads, too.

    Linked folders are read after all others, so that a folder that is reached twice keeps its own name. No folder is
    read twice, which ends the walk where a link leads back.
    """
    walk = _Walk()
    walk.read(folder)
    while walk.links:
        walk.read(walk.links.pop(0))
    return FolderImages(tuple(sorted(walk.found)), {reason: count for reason, count in walk.left_out.items() if count})


@dataclass
class _Walk:
    found: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    read_already: set[tuple[int, int]] = field(default_factory=set)

    def read(self, top: Path) -> None:
        folders = [top]
        while folders:
            folder = folders.pop()
            try:
                state = folder.stat()
                entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
            except OSError:
                self.left_out[CLOSED] += 1
                continue
            if (state.st_dev, state.st_ino) in self.read_already:
                self.left_out[AGAIN] += 1
                continue
            self.read_already.add((state.st_dev, state.st_ino))
            folders += [path for entry in entries if (path := self._sort_in(entry)) is not None]

    def _sort_in(self, entry: os.DirEntry[str]) -> Path | None:
        """Take in an entry; return it where it is a folder to read with its own."""
        path = Path(entry.path)
        if entry.name.startswith("."):
            self.left_out[HIDDEN] += _files_in(path) if entry.is_dir(follow_symlinks=False) else 1
        elif _is_folder(path):
            if not entry.is_symlink():
                return path
            self.links.append(path)
        elif not path.is_file():
            self.left_out[BROKEN] += 1 if entry.is_symlink() else 0
        elif path.suffix.lower() in image_suffixes():
            self.found.append(path)
        else:
            self.left_out[OTHER] += 1
        return None


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _files_in(folder: Path) -> int:
    """Return the number of files in a folder and its subfolders, links not followed."""
    return sum(len(files) for _, _, files in os.walk(folder))
