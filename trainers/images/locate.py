"""Files of the images that a table names, and the messages on those that are missing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from foldtune.paths import outside_names
from foldtune.trainers.images.image_files import beside_missing, listed_as
from foldtune.wording import did_you_mean, did_you_mean_file, first_few, shortened


def locate(images: Path, ids: Sequence[str]) -> tuple[tuple[Path, ...], list[Path]]:
    """Return the file of each name, and those that do not exist; a name is compared in its canonical form."""
    paths = [images / name for name in ids]
    folders = {folder: _files_of(folder) for folder in {path.parent for path in paths}}
    absent = [row for row, path in enumerate(paths) if path.name not in folders[path.parent]]
    named = {folder: listed_as(folders[folder]) for folder in {paths[row].parent for row in absent}}
    missing: list[Path] = []
    for row in absent:
        path = paths[row]
        if (actual := named[path.parent].get(path.name)) is not None:
            paths[row] = path.with_name(actual)
        elif ids[row]:
            missing.append(path)
    return tuple(paths), missing


def missing_images(table: Path, images: Path, missing: Sequence[Path], total: int) -> list[str]:
    if not missing:
        return []
    shown = first_few([shortened(str(path), 200) for path in missing])
    hint = _missing_hint(images, missing)
    return [f"{table}: {len(missing)} of {total} images do not exist ({shown}){hint}"]


def outside_images(table: Path, images: Path, names: Sequence[str]) -> list[str]:
    outside = outside_names(names, images)
    if not outside:
        return []
    return [
        f"{table}: {len(outside)} of {len(names)} images lie outside of {images} ({first_few(outside)}); "
        "set data.images to a folder that holds all of them, or leave it out"
    ]


def _files_of(folder: Path) -> frozenset[str]:
    """Return the file names of a folder: one listing is far faster than a stat an image, above all on network disks."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()


def _missing_hint(images: Path, missing: Sequence[Path]) -> str:
    if not images.is_dir():
        beside = [p.name for p in images.parent.iterdir() if p.is_dir()] if images.parent.is_dir() else []
        return f"; the folder {images} does not exist{did_you_mean(images.name, sorted(beside))}"
    hint = beside_missing(images, missing)
    return hint or did_you_mean_file(missing[0].name, sorted(_files_of(images))) or f"; looked in {images}"
