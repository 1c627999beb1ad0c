"""What lies in the folders and files that the user named: tables, and pictures by folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from foldtune.errors import InputError
from foldtune.trainers.data.readers import TABLE_SUFFIXES
from foldtune.trainers.images.reading import is_image_name
from foldtune.wording import did_you_mean

BOXES_OF_A_PICTURE = "gt_*.txt"
"""Files of ICDAR's form, whose folder is the table."""
MAX_ENTRIES = 2_000_000
"""Files and folders that are listed."""
MAX_DEPTH = 6
"""Folders inside one another that are listed."""
MAX_TABLES = 100
"""Files of a suffix in a folder that may be tables; more are files of an image each, such as annotations."""


@dataclass(frozen=True)
class Inventory:
    """Files of interest below the named places.

    Attributes:
        root: folder that holds all named places.
        tables: files that may be tables, and folders of ICDAR's text files, by path.
        named: folders that the user named.
        pictures: folder → names of the pictures that lie directly in it, sorted.
        left_out: files that are too many for tables, a line each kind and folder.
    """

    root: Path
    tables: tuple[Path, ...] = ()
    pictures: Mapping[Path, tuple[str, ...]] = field(default_factory=dict)
    named: tuple[Path, ...] = ()
    left_out: tuple[str, ...] = ()

    @cached_property
    def places(self) -> Mapping[str, list[Path]]:
        """Name of a picture in lower case, with and without its extension → the files of that name."""
        found: dict[str, list[Path]] = {}
        for folder, names in self.pictures.items():
            for name in names:
                lower = name.lower()
                for key in {lower, os.path.splitext(lower)[0]}:
                    found.setdefault(key, []).append(folder / name)
        return found

    def files_of(self, cell: str) -> list[Path]:
        """Return the pictures that a cell of a table names; those of the folder that it names alone, where it does."""
        written = cell.strip().replace("\\", "/")
        folder, _, name = written.rpartition("/")
        files = self.places.get(name.lower(), [])
        within = [path for path in files if path.parent.as_posix().endswith(folder)]
        return within or files


def take_inventory(places: Sequence[Path], images: Path | None = None) -> Inventory:
    """List files and folders; hidden ones, and what runs of foldtune consist of, are left out.

    Args:
        images: folder whose pictures come before those of the same name elsewhere; what else it holds is not listed.

    Raises:
        InputError: a place that does not exist, or neither a table nor a picture anywhere.
    """
    tables: list[Path] = []
    left_out: list[str] = []
    pictures: dict[Path, tuple[str, ...]] = {}
    if images is not None:
        _walk(_existing(images), [], pictures, [])
    for place in dict.fromkeys(map(_existing, places)):
        if place.is_file():
            tables.append(place)
        else:
            _walk(place, tables, pictures, left_out)
    folders = [each.resolve() if each.is_dir() else each.resolve().parent for each in places]
    root = Path(os.path.commonpath(folders))
    if not pictures and tables:  # a table alone: its pictures lie beside it
        for folder in dict.fromkeys(table.parent for table in tables):
            _walk(folder, [], pictures, [])
    if not tables and not pictures:
        raise InputError(f"{', '.join(map(str, places))}: neither a table nor a picture there")
    named = tuple(each.resolve() for each in places if each.is_dir())
    return Inventory(root, tuple(dict.fromkeys(tables)), pictures, named, tuple(left_out))


def _existing(place: Path) -> Path:
    path = place.resolve()
    if not path.exists():
        beside = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
        raise InputError(f"{path}: no such file or folder{did_you_mean(path.name, beside)}")
    return path


def _may_be_table(name: str) -> bool:
    return name.lower().endswith(TABLE_SUFFIXES) and not is_image_name(name) and name.lower() != "thumbs.db"


def _walk(top: Path, tables: list[Path], pictures: dict[Path, tuple[str, ...]], left_out: list[str]) -> None:
    seen = 0
    for at, folders, names in os.walk(top):
        folder = Path(at)
        depth = len(folder.relative_to(top).parts)
        is_run = "config.yaml" in names and "trials" in folders
        folders[:] = [] if is_run or depth >= MAX_DEPTH else sorted(n for n in folders if not n.startswith("."))
        if is_run:
            continue
        seen += len(names) + len(folders)
        if seen > MAX_ENTRIES:
            raise InputError(f"{top}: holds more than {MAX_ENTRIES:,} files; name its tables and its image folder")
        shown = sorted(name for name in names if not name.startswith("."))
        found = tuple(name for name in shown if is_image_name(name))
        if found:
            pictures[folder] = found
        files = {name: Path(name).suffix.lower() for name in shown if _may_be_table(name)}
        many = {suffix: number for suffix, number in Counter(files.values()).items() if number > MAX_TABLES}
        for suffix, number in many.items():
            left_out.append(f"not read: {folder}: {number:,} files {suffix}, which are too many for tables")
        tables += [folder / name for name, suffix in files.items() if suffix not in many]
        if any(fnmatch(name.lower(), BOXES_OF_A_PICTURE) for name in shown):
            tables.append(folder)
