"""Image files by the names that a table has for them: which files are the same, and where missing ones lie."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from foldtune.canonical import canonical_text

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".tif", ".tiff", ".bmp", ".webp")
_MAX_WALKED = 200_000
"""Entries of folders that are searched for a missing image."""
_TRIED = 20
"""Missing images for which a reason is searched."""


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
    listings = {folder: _Listing.of(folder) for folder in {path.parent for path in paths}}
    numbers = [listings[path.parent].number(path) for path in paths]
    times = Counter(numbers)
    for path, number in zip(paths, numbers, strict=True):
        listing = listings[path.parent]
        plain = os.path.split(os.path.realpath(path)) if path.name in listing.links else (listing.folder, path.name)
        # A number of several paths may be that of files on several disks, or of one path that is spelled in two ways.
        yield _hard_link(path) or plain if number and times[number] > 1 else plain


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

    def number(self, path: Path) -> int:
        """Return the inode of a path, that of its target for a link; 0 where there is none."""
        if path.name not in self.links:
            return self.inodes.get(path.name, 0)
        try:
            return path.stat().st_ino
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
    """Return why images are missing that lie there under other names, as the end of a message; "" where none does."""
    tree: dict[str, list[Path]] | None = None
    for path in missing[:_TRIED]:
        for suffix in IMAGE_SUFFIXES:
            if path.with_name(path.name + suffix).is_file():
                return f"; {path.name}{suffix} exists: write the names with their extension"
        if (images.parent / path.name).is_file():
            return f"; {images.parent / path.name} exists: set data.images to {images.parent}"
        if tree is None:
            tree = _tree(images)
        if hint := _in_other_folder(images, path, tree, missing) or _without_zeros(path, tree):
            return hint
    return ""


def _tree(images: Path) -> dict[str, list[Path]]:
    """Return the files under a folder by name, of at most `_MAX_WALKED` entries."""
    found: dict[str, list[Path]] = {}
    walked = 0
    for folder, folders, names in os.walk(images):
        folders.sort()
        walked += len(names) + len(folders)
        if walked > _MAX_WALKED:
            break
        for name in names:
            found.setdefault(name, []).append(Path(folder) / name)
    return found


def _in_other_folder(images: Path, path: Path, tree: dict[str, list[Path]], missing: Sequence[Path]) -> str:
    places = tree.get(path.name)
    if not places:
        return ""
    folders = {each.parent for name in missing for each in tree.get(name.name, ())}
    if len(folders) == 1:
        return f"; {places[0]} exists: set data.images to {places[0].parent}"
    return (
        f"; {places[0]} exists: the images lie in {len(folders)} folders; write the names with their folder, as in "
        f"{places[0].relative_to(images).as_posix()}"
    )


def _without_zeros(path: Path, tree: dict[str, list[Path]]) -> str:
    """The hint for a number whose file has leading zeros, as spreadsheets lose them."""
    stem = path.stem if path.suffix in IMAGE_SUFFIXES else path.name.removesuffix(".0")
    if not (stem.isascii() and stem.isdigit()):
        return ""
    for name in tree:
        own, dot, _ = name.partition(".")
        if dot and own.isascii() and own.isdigit() and own != stem and int(own) == int(stem):
            return f"; {name} exists: its name is a text with zeros; write {name} and not {path.name}"
    return ""
