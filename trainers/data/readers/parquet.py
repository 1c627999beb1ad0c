"""Parquet files as tables of text, whose images are columns of names or of bytes (the form of Hugging Face's hub)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from foldtune.csv_files import MAX_CELLS, MAX_COLUMNS
from foldtune.errors import DataError
from foldtune.trainers.data.id_checks import MAX_NAME_BYTES
from foldtune.trainers.data.readers.source import Reader, ReadOptions, Source, text_frame
from foldtune.trainers.data.readers.unpacked import unpacked
from foldtune.trainers.images.reading import is_image_name
from foldtune.wording import first_few, shortened

_MAGIC = b"PAR1"


class Parquet(Reader):
    """A Parquet file, by its suffix or its first bytes."""

    suffixes = (".parquet", ".pq")

    def matches(self, path: Path) -> bool:
        return super().matches(path) or (path.is_file() and _begins(path))

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


_BATCH = 64
"""Rows whose images are in memory at a time."""
_IMAGE_MAGIC = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"RIFF": ".webp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


def image_columns(schema: Any) -> dict[str, bool]:
    """Return the columns of bytes of a schema of Arrow, and whether each is a pair of bytes and path."""
    import pyarrow.types as of

    def is_bytes(kind: Any) -> bool:
        return bool(of.is_binary(kind) or of.is_large_binary(kind) or of.is_fixed_size_binary(kind))

    found = {}
    for field in schema:
        if is_bytes(field.type):
            found[str(field.name)] = False
        elif of.is_struct(field.type) and any(part.name == "bytes" and is_bytes(part.type) for part in field.type):
            found[str(field.name)] = True
    return found


def embedded_paths(file: Any, column: str) -> list[str | None]:
    """Return the path (N,) that stands beside the bytes of each row, None where there is none."""
    if not any(part.name == "path" for part in file.schema_arrow.field(column).type):
        return [None] * file.metadata.num_rows
    read = file.read(columns=[f"{column}.path"])[column]
    return [None if pair is None else pair["path"] for pair in read.to_pylist()]


def unpack_images(
    path: Path, file: Any, column: str, ids: list[str | None], options: ReadOptions
) -> tuple[list[str], Path]:
    """Write the images of a column as files, unless they are there, and return their names and folder.

    Args:
        ids: N names that the table has for them, None where it has none.

    Raises:
        DataError: rows without an image.
    """
    names = _names(file, column, ids)

    def files() -> Iterator[tuple[str, bytes]]:
        empty = []
        for row, content in enumerate(_contents(file, column)):
            if content:
                yield names[row], content
            else:
                empty.append(row + 1)
        if empty:
            where = f"{len(empty)} of {len(names)} rows (data rows {first_few(empty)})"
            raise DataError([f"{path}: column {column!r} holds no image in {where}"])

    return names, unpacked(path, options, files)


def _contents(file: Any, column: str) -> Iterator[bytes | None]:
    for batch in file.iter_batches(batch_size=_BATCH, columns=[column]):
        for value in batch.column(0):
            plain = value.as_py()
            yield plain.get("bytes") if isinstance(plain, dict) else plain


def _names(file: Any, column: str, ids: list[str | None]) -> list[str]:
    """Return a file name a row: the table's own where all are names of files and no two are alike, else the number."""
    suffix = _suffix(next(_contents(file, column), None))
    bases = [PurePosixPath((name or "").replace("\\", "/")).name for name in ids]
    names = [base if is_image_name(base) else f"{base}{suffix}" for base in bases]
    usable = all(bases) and max(len(name.encode(errors="replace")) for name in names) <= MAX_NAME_BYTES
    if usable and len({name.casefold() for name in names}) == len(names):
        return names
    return [f"{row}{suffix}" for row in range(len(ids))]


def _suffix(content: bytes | None) -> str:
    """Return the suffix of an image by its first bytes; readers of images go by these, too, whatever the suffix."""
    return next((suffix for magic, suffix in _IMAGE_MAGIC.items() if (content or b"").startswith(magic)), ".png")
