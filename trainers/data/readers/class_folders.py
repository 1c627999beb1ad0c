"""Folders of images, with or without train, val and test in them: a folder a class, flat, or with a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.data.readers.delimited import DelimitedText
from foldtune.trainers.data.readers.json_records import JsonLines, JsonRecords
from foldtune.trainers.data.readers.parquet import Parquet
from foldtune.trainers.data.readers.source import (
    SPLIT,
    Part,
    Reader,
    ReadOptions,
    Source,
    part_of,
    parts_for,
    split_folders,
)
from foldtune.trainers.images.image_index import read_folder
from foldtune.wording import first_few, unknown

_TABLES = (*DelimitedText.suffixes, *Parquet.suffixes, *JsonRecords.suffixes, *JsonLines.suffixes)


class ClassFolders(Reader):
    """A folder of images, of which the first folder on the way to each is its label; ids are paths below it."""

    own_target = "label"

    def matches(self, path: Path) -> bool:
        return path.is_dir()

    def read(self, path: Path, options: ReadOptions) -> Source:
        return _rows(*_wanted(path, options, split_folders(path)), options)


def _wanted(path: Path, options: ReadOptions, split: Mapping[Part, Path]) -> tuple[Path, dict[Part, Path]]:
    """Return the folder below which images are named, and those of the wanted parts of a split; {} is none."""
    if not split:
        return path, {options.part: path}
    parts = parts_for(options.part, split, path)
    if options.part == "train":
        return path, {part: split[part] for part in parts}
    return split[options.part], {options.part: split[options.part]}


def _rows(top: Path, folders: Mapping[Part, Path], options: ReadOptions) -> Source:
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
    tables = [entry.name for entry in sorted(folder.iterdir()) if entry.name.lower().endswith(_TABLES)]
    if tables:
        return f"{folder}: is a folder without folders of classes; name the table in it: {first_few(tables)}"
    counts = "".join(f"; {count} {reason}" for reason, count in left_out.items() if count)
    inside = part_of(folder.name) and f", or {folder.parent}, which holds {folder.name}"
    return f"{folder}: holds no images in folders of classes (CLASS/IMAGE){counts}; name a table{inside or ''}"


FILE_NAME = "file_name"
_METADATA: dict[str, Reader] = {
    "metadata.csv": DelimitedText(),
    "metadata.jsonl": JsonLines(),
    "metadata.parquet": Parquet(),
}


class MetadataFolder(Reader):
    """A folder, or folders train, val and test, each with a table of its images (the form of Hugging Face's hub)."""

    def matches(self, path: Path) -> bool:
        return path.is_dir() and (_table(path) is not None or any(map(_table, _split(path).values())))

    def read(self, path: Path, options: ReadOptions) -> Source:
        split = {} if _table(path) else {part: each for part, each in split_folders(path).items() if _table(each)}
        top, folders = _wanted(path, options, split)
        frames = []
        for part, folder in folders.items():
            frame = _metadata(folder, options)
            if folder != top:
                frame = frame.assign(**{FILE_NAME: f"{folder.name}/" + frame[FILE_NAME], SPLIT: part})
            frames.append(frame)
        named = SPLIT if len(folders) > 1 else None
        return Source(pd.concat(frames, ignore_index=True), "metadata folder", top, FILE_NAME, None, named)


def _split(folder: Path) -> dict[Part, Path]:
    try:
        return split_folders(folder)
    except DataError:  # named when the folder is read
        return {}


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in _METADATA if (folder / name).is_file()), None)


def _metadata(folder: Path, options: ReadOptions) -> pd.DataFrame:
    table = _table(folder)
    assert table is not None
    frame = _METADATA[table.name].read(table, options).frame
    if FILE_NAME not in frame:
        raise DataError([f"{table}: {unknown('column', FILE_NAME, map(str, frame.columns))}; it names each image"])
    return frame
