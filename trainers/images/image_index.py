"""Image files of a folder: all of them, or by names that are no paths as written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path, PurePosixPath

from foldtune.canonical import canonical_text
from foldtune.trainers.images.reading import image_suffixes, is_image_name

CASE = "in another case"
STEM = "without their extension"
INSIDE = "by the part of their path behind the folder's name"
BELOW = "in sub-folders"
BACKSLASH = "by a path of Windows"
MAX_WALKED = 2_000_000
"""Entries of folders that are searched for images."""


@dataclass(frozen=True)
class Match:
    """Files that a name stands for, more than one where it is ambiguous.

    Attributes:
        paths: existing files.
        rule: how they are found, such as `STEM`.
    """

    paths: tuple[Path, ...]
    rule: str

    @property
    def is_one(self) -> bool:
        """Whether all paths are one file."""
        return len(self.paths) == 1 or len({os.path.realpath(path) for path in self.paths}) == 1


class Names:
    """Places of files, found by their names: exactly, in any case, and without the extension of an image."""

    def __init__(self, places: Iterable[str]) -> None:
        self._places: dict[str, str | list[str]] = {}  # of a million files most names are one's alone
        for place in places:
            key = _stem(_name(place).casefold())
            before = self._places.setdefault(key, place)
            if before is not place:
                self._places[key] = [*([before] if isinstance(before, str) else before), place]

    def find(self, name: str) -> Iterator[tuple[str, list[str]]]:
        """Yield how a name is spelled and the places of such files, the nearest spelling first."""
        folded = name.casefold()
        keys = dict.fromkeys((folded, _stem(folded)))
        places = [(place, _name(place)) for key in keys for place in self._of(key)]
        yield "", [place for place, own in places if own == name]
        yield CASE, [place for place, own in places if own.casefold() == folded]
        images = [(place, stem) for place, own in places if (stem := _stem(own)) != own]
        yield STEM, [place for place, stem in images if stem == name]
        yield STEM, [place for place, stem in images if stem.casefold() == folded]

    def _of(self, key: str) -> list[str]:
        found = self._places.get(key, [])
        return [found] if isinstance(found, str) else found


def _name(place: str) -> str:
    return canonical_text(place.rpartition("/")[2])


def _stem(name: str) -> str:
    """Return a file's name without the extension of an image; any other name as it is."""
    stem, dot, suffix = name.rpartition(".")
    return stem if stem and f"{dot}{suffix}".lower() in image_suffixes() else name


class ImageIndex:
    """The files in and below a folder of images. A folder is listed when a name in it is searched, the rest once."""

    def __init__(self, images: Path, listed: Mapping[Path, frozenset[str]]) -> None:
        self._images = images
        self._listed = listed
        self._folders: dict[Path, Names] = {}

    def find(self, name: str) -> Match | None:
        """Return the files of a name: in its own folder, behind the folder's name, else anywhere below.

        A name with folders is found below where its whole path is the end of a file's.
        """
        match = self._of_path(PurePosixPath(name))
        if match is None and "\\" in name and (match := self._of_path(PurePosixPath(name.replace("\\", "/")))):
            return Match(match.paths, _rule(BACKSLASH, match.rule))
        return match

    def _of_path(self, path: PurePosixPath) -> Match | None:
        if (match := self._in_folder(self._images / path, "")) is not None:
            return match
        own = self._images.name
        for place in reversed([place for place, part in enumerate(path.parts[:-1]) if part == own and own]):
            inside = self._images.joinpath(*path.parts[place + 1 :])
            if ".." not in path.parts[place + 1 :] and (match := self._in_folder(inside, INSIDE)) is not None:
                return match
        return None if path.is_absolute() or ".." in path.parts else self._below(path)

    def _in_folder(self, path: Path, where: str) -> Match | None:
        folder = path.parent
        if folder not in self._folders:
            names = self._listed[folder] if folder in self._listed else files_of(folder)
            self._folders[folder] = Names(name for name in names if not name.startswith("."))
        for how, found in self._folders[folder].find(path.name):
            if found:
                return Match(tuple(folder / name for name in sorted(found)), _rule(where, how))
        return None

    def _below(self, path: PurePosixPath) -> Match | None:
        folders = path.parts[:-1]
        for how, places in self._tree.find(path.name):
            found = [place for place in places if not folders or place.split("/")[-len(folders) - 1 : -1] == [*folders]]
            if found:
                return Match(tuple(self._images / place for place in sorted(found)), _rule(BELOW, how))
        return None

    @cached_property
    def _tree(self) -> Names:
        return Names(islice(_walk(self._images), MAX_WALKED))


def files_of(folder: Path) -> frozenset[str]:
    """Return the file names of a folder: one listing is far faster than a stat an image, above all on network disks."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()


def _rule(where: str, how: str) -> str:
    return ", ".join(filter(None, (where, how)))


HIDDEN, OTHER = "hidden or checkpoint files", "files that are no images by their name"
BROKEN, AGAIN, CLOSED = "links to nothing", "links to folders that are read already", "folders that cannot be read"
"""Reasons for which entries of a folder are left out."""


def read_folder(folder: Path) -> tuple[tuple[Path, ...], dict[str, int]]:
    """Return the images in a folder and its subfolders, sorted, and how many entries are left out, by reason.

    Images are files of the suffixes that training reads.
    """
    left_out: Counter[str] = Counter()
    found = []
    for place in _walk(folder, left_out):
        if is_image_name(place):
            found.append(folder / place)
        else:
            left_out[OTHER] += 1
    return tuple(sorted(found)), {reason: count for reason, count in left_out.items() if count}


def _walk(top: Path, left_out: Counter[str] | None = None) -> Iterator[str]:
    """Yield the files below a folder by their path in it, hidden ones left out; `left_out` counts what is no file.

    Linked folders are read after all others, so that a folder that is reached twice keeps its own name. No folder is
    read twice, which ends the walk where a link leads back.
    """
    waiting, links, read_already = [""], list[str](), set()
    count = Counter[str]() if left_out is None else left_out
    while waiting or links:
        place = waiting.pop() if waiting else links.pop(0)
        try:
            state = os.stat(top / place)
            entries = sorted(os.scandir(top / place), key=lambda entry: entry.name)
        except OSError:
            count[CLOSED] += 1
            continue
        if (state.st_dev, state.st_ino) in read_already:
            count[AGAIN] += 1
            continue
        read_already.add((state.st_dev, state.st_ino))
        for entry in entries:
            own = f"{place}/{entry.name}" if place else entry.name
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link that leads to itself
                is_folder = is_file = False
            if entry.name.startswith("."):
                if left_out is not None:
                    is_own = is_folder and not entry.is_symlink()
                    left_out[HIDDEN] += sum(len(files) for _, _, files in os.walk(entry.path)) if is_own else 1
            elif is_folder:
                (links if entry.is_symlink() else waiting).append(own)
            elif is_file:
                yield own
            else:
                count[BROKEN] += entry.is_symlink()
