"""Folders of images: a folder a class, with or without train, val and test above them; flat where unlabelled."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.data.readers.source import SPLIT, Reader, ReadOptions, Source, part_of, parts_for, split_folders
from foldtune.trainers.images.image_index import read_folder
from foldtune.wording import first_few

_TABLES = (".csv", ".tsv", ".parquet", ".json", ".jsonl")


class ClassFolders(Reader):
    """A folder of images, of which the first folder on the way to each is its label; ids are paths below it."""

    own_target = "label"

    def matches(self, path: Path) -> bool:
        return path.is_dir()

    def read(self, path: Path, options: ReadOptions) -> Source:
        split = split_folders(path)
        if not split:
            return _rows(path, {options.part: path}, options)
        parts = parts_for(options.part, split, path)
        if options.part == "train":
            return _rows(path, {part: split[part] for part in parts}, options)
        return _rows(split[options.part], {options.part: split[options.part]}, options)


def _rows(top: Path, folders: dict[str, Path], options: ReadOptions) -> Source:
    """Return the images below some folders, named by their paths below `top`."""
    names: list[str] = []
    labels: list[str | None] = []
    parts: list[str] = []
    left_out: Counter[str] = Counter()
    for part, folder in folders.items():
        images, rest = read_folder(folder)
        left_out.update(rest)
        for image in images:
            below = image.relative_to(folder)
            label = below.parts[0] if len(below.parts) > 1 else None
            if label is None and options.part != "test":
                left_out["images beside the folders of classes"] += 1
                continue
            names.append(image.relative_to(top).as_posix())
            labels.append(label)
            parts.append(part)
    if not names:
        raise DataError([_empty(top, left_out)])
    frame = pd.DataFrame({options.id_column: names, options.target_column: labels}, dtype="str")
    if len(folders) > 1:
        frame[SPLIT] = pd.Series(parts, dtype="str")
    notes = tuple(f"{top}: {count} {reason}, left out" for reason, count in left_out.items() if count)
    split = SPLIT if len(folders) > 1 else None
    return Source(frame, "class folders", top, options.id_column, options.target_column, split, notes)


def _empty(folder: Path, left_out: Counter[str]) -> str:
    tables = [entry.name for entry in sorted(folder.iterdir()) if entry.suffix.lower() in _TABLES]
    if tables:
        return f"{folder}: is a folder without folders of classes; name the table in it: {first_few(tables)}"
    counts = "".join(f"; {count} {reason}" for reason, count in left_out.items() if count)
    inside = part_of(folder.name) and f", or {folder.parent}, which holds {folder.name}"
    return f"{folder}: holds no images in folders of classes (CLASS/IMAGE){counts}; name a table{inside or ''}"
