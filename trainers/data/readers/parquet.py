"""Parquet files as tables of text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foldtune.csv_files import MAX_CELLS, MAX_COLUMNS
from foldtune.errors import DataError
from foldtune.trainers.data.readers.cells import text_frame
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
        frame = file.read().to_pandas(ignore_metadata=True, integer_object_nulls=True)
        for name in _mappings(file):
            frame[name] = [_entries(cell) for cell in frame[name]]
        return Source(text_frame(path, frame), "parquet")


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
