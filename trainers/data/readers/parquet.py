"""Parquet files as tables of text, whose images are columns of names or of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.csv_files import MAX_CELLS, MAX_COLUMNS
from foldtune.errors import DataError
from foldtune.trainers.data.readers.cells import text_frame
from foldtune.trainers.data.readers.embedded import embedded_paths, image_columns, unpack_images
from foldtune.trainers.data.readers.source import ReadOptions, Source
from foldtune.wording import shortened

_MAGIC = b"PAR1"
_SUFFIXES = (".parquet", ".pq")


class Parquet:
    """A Parquet file, by its suffix or its first bytes."""

    own_target: str | None = None

    def matches(self, path: Path) -> bool:
        return path.is_file() and (path.suffix.lower() in _SUFFIXES or _begins(path))

    def read(self, path: Path, options: ReadOptions) -> Source:
        file = _opened(path)
        if file.metadata.num_columns > MAX_COLUMNS or file.metadata.num_columns * file.metadata.num_rows > MAX_CELLS:
            rows, columns = file.metadata.num_rows, file.metadata.num_columns
            raise DataError([f"{path}: has {rows:,} rows of {columns:,} columns; a table may have {MAX_CELLS:,} cells"])
        images = image_columns(file.schema_arrow)
        plain = [name for name in file.schema_arrow.names if name not in images]
        cells = file.read(columns=plain).to_pandas(ignore_metadata=True, integer_object_nulls=True)
        for name in set(_mappings(file)).intersection(plain):
            cells[name] = [_entries(cell) for cell in cells[name]]
        frame = text_frame(path, cells)
        if not images or (options.id_column in frame and len(images) != 1):
            return Source(frame, "parquet", notes=_left_out(path, images))
        return _with_images(path, file, frame, images, options)


def _left_out(path: Path, columns: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{path}: column {name!r} holds bytes and is left out" for name in columns)


def _with_images(
    path: Path, file: Any, frame: pd.DataFrame, images: Mapping[str, bool], options: ReadOptions
) -> Source:
    """Return the rows with the names of the files into which their images are unpacked."""
    column = options.id_column if options.id_column in images else next(iter(images))
    if len(images) > 1 and column != options.id_column:
        several = ", ".join(map(repr, images))
        raise DataError([f"{path}: columns {several} hold images; name one of them with data.id"])
    paths: list[str | None] = [None] * file.metadata.num_rows
    if images[column]:
        paths = embedded_paths(file, column)
    own = frame.get(options.id_column)
    ids = paths if own is None else [None if pd.isna(name) else str(name) for name in own]
    names, folder = unpack_images(path, file, column, ids, options)
    named = frame.assign(**{options.id_column: pd.Series(names, dtype="str")})
    if own is None:  # in the place of its images
        order = [options.id_column if name == column else name for name in file.schema_arrow.names]
        named = named[[name for name in order if name in named]]
    left_out = _left_out(path, [name for name in images if name != column])
    return Source(named, "parquet", folder, options.id_column, notes=left_out)


def _begins(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def _mappings(file: Any) -> list[str]:
    """Return the columns of mappings, each name of which is there once."""
    import pyarrow as pa

    fields = [field for field in file.schema_arrow if pa.types.is_struct(field.type) or pa.types.is_map(field.type)]
    names = file.schema_arrow.names
    return [field.name for field in fields if names.count(field.name) == 1]


def _entries(cell: Any) -> Any:
    """Return a mapping without the keys that other rows alone have: a struct has all keys in every row."""
    return cell if cell is None else {key: value for key, value in dict(cell).items() if value is not None}


def _opened(path: Path) -> Any:
    import pyarrow as pa  # heavy, and most tables are text
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = shortened(" ".join(str(error).split()), 160)
        raise DataError([f"{path}: cannot be read as a Parquet file: {reason}"]) from None
