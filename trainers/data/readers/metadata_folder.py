"""Folders of images with a table in them: metadata.csv, .jsonl or .parquet, with a column file_name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.data.readers.delimited import DelimitedText
from foldtune.trainers.data.readers.json_records import JsonLines
from foldtune.trainers.data.readers.parquet import Parquet
from foldtune.trainers.data.readers.source import SPLIT, Part, Reader, ReadOptions, Source, parts_for, split_folders
from foldtune.wording import unknown

FILE_NAME = "file_name"
_TABLES: dict[str, Reader] = {
    "metadata.csv": DelimitedText(),
    "metadata.jsonl": JsonLines(),
    "metadata.parquet": Parquet(),
}


class MetadataFolder(Reader):
    """A folder, or folders train, val and test, each with a table of its images (the form of Hugging Face's hub)."""

    def matches(self, path: Path) -> bool:
        return path.is_dir() and (_table(path) is not None or any(map(_table, _split(path).values())))

    def read(self, path: Path, options: ReadOptions) -> Source:
        if _table(path) is not None:
            return _source(path, _rows(path, options), path)
        split = split_folders(path)
        tables = {part: folder for part, folder in split.items() if _table(folder)}
        parts = parts_for(options.part, tables, path)
        if options.part != "train":
            return _source(path, _rows(tables[options.part], options), tables[options.part])
        frames = []
        for part in parts:
            frame = _rows(tables[part], options)
            names = f"{tables[part].name}/" + frame[FILE_NAME]
            frames.append(frame.assign(**{FILE_NAME: names, SPLIT: part}))
        return _source(path, pd.concat(frames, ignore_index=True), path, SPLIT if len(parts) > 1 else None)


def _source(path: Path, frame: pd.DataFrame, images: Path, split: str | None = None) -> Source:
    return Source(frame, "metadata folder", images, FILE_NAME, None, split)


def _split(folder: Path) -> dict[Part, Path]:
    try:
        return split_folders(folder)
    except DataError:  # named when the folder is read
        return {}


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in _TABLES if (folder / name).is_file()), None)


def _rows(folder: Path, options: ReadOptions) -> pd.DataFrame:
    table = _table(folder)
    assert table is not None
    frame = _TABLES[table.name].read(table, options).frame
    if FILE_NAME not in frame:
        raise DataError([f"{table}: {unknown('column', FILE_NAME, map(str, frame.columns))}; it names each image"])
    return frame
