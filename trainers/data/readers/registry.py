"""The forms in which rows are read, and the choice among them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from foldtune.errors import DataError
from foldtune.trainers.data.readers.class_folders import ClassFolders, MetadataFolder
from foldtune.trainers.data.readers.delimited import DelimitedText, RefusedForm
from foldtune.trainers.data.readers.json_records import JsonLines, JsonRecords
from foldtune.trainers.data.readers.numpy_files import NpyArray, NpzArrays
from foldtune.trainers.data.readers.parquet import Parquet
from foldtune.trainers.data.readers.source import Reader, ReadOptions, Source
from foldtune.wording import did_you_mean_file, shortened

READERS: tuple[Reader, ...] = (
    MetadataFolder(),
    ClassFolders(),
    Parquet(),
    JsonLines(),
    JsonRecords(),
    NpzArrays(),
    NpyArray(),
    RefusedForm(),
    DelimitedText(),
)
"""Forms of rows with labels, the first that matches reads; text detection has forms of its own before them."""
TABLE_SUFFIXES = tuple(dict.fromkeys(suffix for reader in READERS for suffix in reader.suffixes))
"""Ends of the names, in lower case, of files that are read as tables, or that a reader refuses by name."""


def read_source(path: Path, options: ReadOptions | None = None, readers: Sequence[Reader] = READERS) -> Source:
    """Read rows in whatever form they are; the container's own columns have the configured names.

    Raises:
        DataError: no such file, no known form, or what is wrong with it.
    """
    path, options = Path(path), options or ReadOptions()
    reader = find_reader(path, readers)
    if reader is None:
        raise DataError([_no_reader(path)])
    try:
        return _renamed(reader.read(path, options), options)
    except (ValueError, OSError) as error:  # what the parsers of files raise
        reason = shortened(" ".join(str(error).split()), 200)
        raise DataError([f"{path}: cannot be read as a table ({reason})"]) from error


def find_reader(path: Path, readers: Sequence[Reader] = READERS) -> Reader | None:
    """Return the form of a file or folder, None where it is of none or is not there."""
    if not path.exists():
        return None
    return next((reader for reader in readers if reader.matches(path)), None)


def _renamed(source: Source, options: ReadOptions) -> Source:
    """Return rows whose own columns of images and labels have the names of the configuration."""
    own = {source.id_column: options.id_column, source.target_column: options.target_column}
    new = {old: name for old, name in own.items() if old in source.frame and name not in source.frame}
    if not new:
        return source
    return replace(source, frame=source.frame.rename(columns=new))


def _no_reader(path: Path) -> str:
    if path.is_dir():
        return f"{path}: is a folder, a table is expected"
    if not path.parent.is_dir():
        return f"{path}: no such file; the folder {path.parent} does not exist"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    return f"{path}: no such file{did_you_mean_file(path.name, names)}"
