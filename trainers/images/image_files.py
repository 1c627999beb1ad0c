"""Image files by the names that a table has for them: which files are the same, and where missing ones lie."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from foldtune.canonical import canonical_text

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".tif", ".tiff", ".bmp", ".webp")
_MAX_WALKED = 200_000
"""Entries of folders that are searched for a missing image."""
_TRIED = 20
"""Missing images for which a reason is searched."""
_ZEROS = " (a column that is read as numbers loses them: in pandas read it with dtype=str, or df[c].str.zfill(n))"


def listed_as(names: Iterable[str]) -> dict[str, str]:
    """Return canonical form → file name of a folder's files, of those whose form is another and is no other's."""
    try:
        others = [name for name in names if not name.isascii() or name != name.strip()]
    except TypeError:  # a folder that cannot be listed
        return {}
    forms: dict[str, str] = {}
    shared = set()
    for name in others:
        form = canonical_text(name)
        if forms.setdefault(form, name) != name:
            shared.add(form)
    return {form: name for form, name in forms.items() if form not in shared}


def file_keys(paths: Sequence[Path]) -> Iterator[tuple[str, str]]:
    """Yield a key a path that is the same for all paths of one file: through `..`, absolute, by a link of any kind."""
    places = [os.path.split(path) for path in paths]  # texts, of which a million are compared far faster than paths
    listings = {folder: _Listing.of(Path(folder)) for folder in {folder for folder, _ in places}}
    numbers = [listings[folder].number(folder, name) for folder, name in places]
    times = Counter(numbers)
    for path, (folder, name), number in zip(paths, places, numbers, strict=True):
        listing = listings[folder]
        plain = os.path.split(os.path.realpath(path)) if name in listing.links else (listing.folder, name)
        # A number of several paths may be that of files on several disks, or of one path that is spelled in two ways.
        yield _hard_link(path) or plain if number and times[number] > 1 else plain


def rows_that_may_share(paths: Sequence[Path]) -> list[int]:
    """Return the rows whose files' inodes are those of several paths, or unknown; any other file is its row's alone.

    All rows where one is a link: layered file systems may list another inode than that of a link's target.
    """
    numbers = np.zeros(len(paths), dtype=np.uint64)
    listings: dict[str, _Listing] = {}
    for row, path in enumerate(paths):
        folder, _, name = os.fspath(path).rpartition("/")
        if folder not in listings:
            listings[folder] = _Listing.of(Path(folder or "/"))
        if name in listings[folder].links:
            return list(range(len(paths)))
        numbers[row] = listings[folder].number(folder, name)
    _, place, times = np.unique(numbers, return_inverse=True, return_counts=True)
    return np.flatnonzero((times[place] > 1) | (numbers == 0)).tolist()


@dataclass(frozen=True)
class _Listing:
    """A folder: its place, the inode of each file in it, and which of them are symbolic links."""

    folder: str
    inodes: Mapping[str, int]
    links: frozenset[str]

    @classmethod
    def of(cls, folder: Path) -> Self:
        inodes, links = {}, set()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                inodes[entry.name] = entry.inode()
                if entry.is_symlink():
                    links.add(entry.name)
        return cls(os.path.realpath(folder), inodes, frozenset(links))

    def number(self, folder: str, name: str) -> int:
        """Return the inode of a file of the folder, that of its target for a link; 0 where there is none."""
        if name not in self.links:
            return self.inodes.get(name, 0)
        try:
            return os.stat(os.path.join(folder, name)).st_ino
        except OSError:
            return 0


def _hard_link(path: Path) -> tuple[str, str] | None:
    """Return a key of the file that a path is one of several names of, None where it is the only one."""
    try:
        state = path.stat()
    except OSError:
        return None
    return (f"device {state.st_dev}", str(state.st_ino)) if state.st_nlink > 1 else None


def beside_missing(images: Path, missing: Sequence[Path]) -> str:
    """Return why images are missing that lie near under other names, as the end of a message; "" where none does."""
    for path in missing[:_TRIED]:
        if (images.parent / path.name).is_file():
            return f"; {images.parent / path.name} exists: set data.images to {images.parent}"
    if missing and (hint := _in_folder_beside(images, missing[0])):
        return hint
    names: list[str] | None = None
    for path in missing[:_TRIED]:
        if hint := _with_other_suffix(path):
            return hint
        names = _names_below(images) if names is None else names
        if hint := without_zeros(path, names):
            return hint
    return ""


def _in_folder_beside(images: Path, path: Path) -> str:
    """The hint for an image in a folder beside that of the images, as test images often are."""
    with suppress(OSError):
        for folder in sorted(images.parent.iterdir())[:_TRIED]:
            for name in (path.name, *(path.name + suffix for suffix in IMAGE_SUFFIXES)):
                if folder != images and (folder / name).is_file():
                    keys = f"data.test_images, of data.test, or data.images to {folder}"
                    return f"; {folder / name} exists: set {keys}"
    return ""


def _with_other_suffix(path: Path) -> str:
    for suffix in IMAGE_SUFFIXES if path.suffix in IMAGE_SUFFIXES else ():
        if path.with_suffix(suffix).is_file():
            return f"; {path.with_suffix(suffix).name} exists: write the names with that extension, or without one"
    return ""


def _names_below(images: Path) -> list[str]:
    """Return the names of files under a folder, of at most `_MAX_WALKED` entries."""
    found: list[str] = []
    walked = 0
    for _, folders, names in os.walk(images):
        folders.sort()
        walked += len(names) + len(folders)
        if walked > _MAX_WALKED:
            break
        found += names
    return found


def without_zeros(path: Path, names: Sequence[str]) -> str:
    """The hint for a number whose file has leading zeros, as spreadsheets lose them."""
    stem = path.stem if path.suffix in IMAGE_SUFFIXES else path.name.removesuffix(".0")
    if not (stem.isascii() and stem.isdigit()):
        return ""
    for name in names:
        own, dot, _ = name.partition(".")
        if dot and own.isascii() and own.isdigit() and own != stem and int(own) == int(stem):
            return f"; {name} exists: its name is a text with zeros; write {name} and not {path.name}{_ZEROS}"
    return ""
