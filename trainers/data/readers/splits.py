"""Folders and arrays whose names are those of a split: train, val, test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from foldtune.errors import DataError
from foldtune.trainers.data.readers.source import Part

SPLIT = "split"
"""Column of a part's name, of rows whose container has a split."""
PART_NAMES: Mapping[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
_JUNK = ("__MACOSX",)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted; hidden ones and those that archives leave behind are left out."""
    entries = sorted(folder.iterdir())
    return [each for each in entries if each.is_dir() and not each.name.startswith(".") and each.name not in _JUNK]


def part_of(name: str) -> Part | None:
    """Return the part that a name is one of, None for any other name.

    >>> part_of("Val"), part_of("nevus")
    ('valid', None)
    """
    return PART_NAMES.get(name.casefold())


def split_folders(folder: Path) -> dict[Part, Path]:
    """Return the folder of each part, none where the folder has no split.

    A folder has one where all its folders have names of parts, or where that of the training rows holds folders of its
    own: a class may be called "train", too.

    Raises:
        DataError: two folders of one part.
    """
    inside = subfolders(folder)
    named = [each for each in inside if part_of(each.name)]
    train = [each for each in named if part_of(each.name) == "train"]
    if not train or (len(named) < len(inside) and not any(subfolders(each) for each in train)):
        return {}
    return _one_each(folder, named)


def _one_each(folder: Path, named: Iterable[Path]) -> dict[Part, Path]:
    found: dict[Part, Path] = {}
    for each in named:
        part = part_of(each.name)
        assert part is not None
        if part in found:
            raise DataError([f"{folder}: {found[part].name} and {each.name} are both the {part} part; keep one"])
        found[part] = each
    return found


def parts_for(wanted: Part, existing: Iterable[Part], source: Path) -> tuple[Part, ...]:
    """Return the parts to read of those that exist: validation rows lie beside training rows.

    Raises:
        DataError: there is no such part.
    """
    parts: tuple[Part, ...] = ("train", "valid") if wanted == "train" else (wanted,)
    known = list(existing)
    if wanted not in known:
        raise DataError([f"{source}: has no {wanted} part; it has: {', '.join(known)}"])
    return tuple(part for part in parts if part in known)
