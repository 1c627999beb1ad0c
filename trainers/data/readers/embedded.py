"""Images inside a Parquet file, as bytes or as pairs of bytes and path (the form of Hugging Face's hub)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from foldtune.errors import DataError
from foldtune.trainers.data.id_checks import MAX_NAME_BYTES
from foldtune.trainers.data.readers.source import ReadOptions
from foldtune.trainers.data.readers.unpacked import unpacked
from foldtune.trainers.images.reading import image_suffixes
from foldtune.wording import first_few

_BATCH = 64
"""Rows whose images are in memory at a time."""
_MAGIC = {
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
        file: opened Parquet file.
        column: column of the images.
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
    names = [base if _has_suffix(base) else f"{base}{suffix}" for base in bases]
    usable = all(bases) and max(len(name.encode(errors="replace")) for name in names) <= MAX_NAME_BYTES
    if usable and len({name.casefold() for name in names}) == len(names):
        return names
    return [f"{row}{suffix}" for row in range(len(ids))]


def _has_suffix(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in image_suffixes()


def _suffix(content: bytes | None) -> str:
    """Return the suffix of an image by its first bytes; readers of images go by these, too, whatever the suffix."""
    return next((suffix for magic, suffix in _MAGIC.items() if (content or b"").startswith(magic)), ".png")
