"""CSV files as tables of text: bounded in size, with messages that name the cause and never print the content."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import io
import lzma
import re
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import pandas as pd

from foldtune.errors import DataError
from foldtune.wording import first_few, shortened

MAX_TABLE_BYTES = 1 << 30
"""Size of a table, unpacked."""
MAX_CELL = 1 << 17
"""Characters of a cell."""
MAX_CELLS = 50_000_000
"""Cells of a table."""
MAX_COLUMNS = 10_000
"""Columns of a table."""
_DELIMITERS = "\t;|"
"""Delimiters of a table whose header has no comma, the most frequent first."""
REPEATED = "repeated"
"""Key of a table's `attrs`: names of columns that its header has more than once."""
TRAILING = "trailing"
"""Key of a table's `attrs`: whether empty cells beyond the header were dropped."""
_LINE = re.compile(r"[^\r\n]*[^\s][^\r\n]*")
"""A line with something in it; the first is the header."""
_SHOWN = 3
_SAMPLE = 1 << 16
"""Bytes by which an unknown encoding is recognised."""
_AS_CSV = "cannot be read as a CSV"
_MAGIC = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"\x1f\x8b": "a gzip archive (its name would end in .gz)",
    b"PAR1": "a Parquet file",
    b"\x93NUMPY": "a NumPy array",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"%PDF": "a PDF",
}
_UNPACKED: Mapping[str, Any] = {".gz": gzip.GzipFile, ".bz2": bz2.BZ2File, ".xz": lzma.LZMAFile}
_BOMS = {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16", codecs.BOM_UTF8: "utf-8-sig"}


def read_csv(path: Path, *, empty_is_missing: bool = True, encoding: str | None = None) -> pd.DataFrame:
    """Return a CSV as text: only an empty cell is missing ("NA" and "None" are labels); a BOM is dropped.

    Where the header has no comma, tabs, semicolons or bars separate the cells. Empty cells beyond the header, as a
    comma at the end of a row makes them, are dropped.

    Args:
        empty_is_missing: whether an empty cell is NaN, else "".
        encoding: encoding of a file without a BOM, None for UTF-8.

    Raises:
        DataError: no such file, not a CSV, another encoding, empty, a row with more cells than the header, too large.
    """
    text = _decode(path, _read(path), encoding)
    delimiter = _delimiter(text)
    missing = [""] if empty_is_missing else []
    _check_counts(path, text, delimiter)
    frame = _parse(path, text, delimiter, missing)
    if len(text) > MAX_CELL:
        _check_cells(path, frame)
    frame.attrs[REPEATED] = _repeated_columns(text, delimiter)
    frame.attrs[TRAILING] = frame.attrs.get(TRAILING, False) or _has_trailing(text, delimiter)
    return frame


def read_text(path: Path, encoding: str | None = None, form: str = "CSV") -> str:
    """Return the text of a file, which may be packed (.gz, .bz2, .xz, a .zip of one file).

    Args:
        encoding: encoding of a file without a BOM, None for UTF-8.
        form: name of what is read, for messages.

    Raises:
        DataError: no such file, another encoding, too large.
    """
    try:
        return _decode(path, _read(path), encoding)
    except DataError as error:
        raise DataError([text.replace(_AS_CSV, f"cannot be read as {form}", 1) for text in error.problems]) from None


@dataclass(frozen=True)
class Dialect:
    """How a text table is written."""

    delimiter: str = ","
    newline: str = "\n"
    encoding: str = "utf-8"
    quotes_all: bool = False


def csv_dialect(path: Path, encoding: str | None = None) -> Dialect:
    """Return how a CSV is written that `read_csv` reads; a BOM is not kept. Raises DataError.

    Args:
        encoding: encoding of a file without a BOM, None for UTF-8.
    """
    text = read_text(path, encoding)
    delimiter, newline = _delimiter(text), "\r\n" if "\r\n" in text[: 1 << 16] else "\n"
    return Dialect(delimiter, newline, encoding or "utf-8", _quotes_all(text, delimiter))


def _quotes_all(text: str, delimiter: str) -> bool:
    """Whether every cell of the header and of the first row is in quotes, numbers too."""
    lines = [line[0] for line in islice(_LINE.finditer(text), 2)]
    cells = csv.reader(lines, delimiter=delimiter)
    quoted = [delimiter.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
    return quoted == lines != []


def _repeated_columns(text: str, delimiter: str) -> list[str]:
    """Return the names that stand more than once in the header; pandas numbers all but the first."""
    names = next(csv.reader([_header(text)], delimiter=delimiter), [])
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _has_trailing(text: str, delimiter: str) -> bool:
    """Whether the first row has an empty cell beyond the header: where all have, pandas drops them silently."""
    lines = [line[0] for line in islice(_LINE.finditer(text), 2)]
    cells = list(csv.reader(lines, delimiter=delimiter))
    return len(cells) == 2 and len(cells[1]) > len(cells[0]) and not cells[1][-1].strip()


def _parse(path: Path, text: str, delimiter: str, missing: list[str]) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            # Without index_col pandas takes the first column for an index where the first row has a cell too many.
            return pd.read_csv(
                io.StringIO(text),
                sep=delimiter,
                dtype=str,
                keep_default_na=False,
                na_values=missing,
                index_col=False,
                low_memory=False,
            )
    except pd.errors.EmptyDataError:
        raise _refused(path, "it is empty; a table begins with a line of column names") from None
    except (pd.errors.ParserWarning, ValueError) as error:  # pandas' parser errors are ValueErrors
        return _without_ragged_ends(path, text, delimiter, missing, error)


def _read(path: Path) -> bytes:
    try:
        with _open(path) as file:
            raw = file.read(MAX_TABLE_BYTES + 1)
    except FileNotFoundError:
        raise DataError([f"{path}: no such file"]) from None
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise _refused(path, f"it cannot be unpacked ({_one_line(error)})") from None
    except OSError as error:
        raise _refused(path, _one_line(error)) from None
    if len(raw) > MAX_TABLE_BYTES:
        raise _refused(path, f"it holds more than {MAX_TABLE_BYTES >> 20:,} MB of text, the most that a table may")
    return raw


def _open(path: Path) -> IO[bytes]:
    suffix = path.suffix.lower()
    if suffix != ".zip":
        unpacked: IO[bytes] = _UNPACKED[suffix](path) if suffix in _UNPACKED else path.open("rb")
        return unpacked
    archive = zipfile.ZipFile(path)
    names = archive.namelist()
    if len(names) != 1:
        raise _refused(path, f"it holds {len(names)} files; a zipped table is one file")
    return archive.open(names[0])


def _decode(path: Path, raw: bytes, given: str | None) -> str:
    for magic, kind in _MAGIC.items():
        if raw.startswith(magic):
            raise _refused(path, f"it is {kind}, not text; save the table as CSV in UTF-8")
    encoding = next((name for bom, name in _BOMS.items() if raw.startswith(bom)), given or "utf-8")
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        begins = "it begins as UTF-16 does" if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else ""
        where = begins or f"line {line}, byte 0x{raw[error.start]:02x}"
        name = "UTF-8" if encoding == "utf-8-sig" else encoding.upper() if encoding.startswith("utf") else encoding
        advice = _encoding_advice(raw)
        raise _refused(path, f"its encoding is not {name} ({where}); {advice}") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise _refused(path, f"line {line} holds a NUL: the encoding is not UTF-8, or this is no text at all")
    return text


def _encoding_advice(raw: bytes) -> str:
    """Return what to do about an unknown encoding, with the likely ones by name."""
    from charset_normalizer import from_bytes  # tables are rarely in another encoding

    sample = raw[: raw.rfind(b"\n", 0, _SAMPLE) + 1] or raw[:_SAMPLE]
    matches = list(from_bytes(sample))[:_SHOWN]
    # Texts of few letters fit many encodings of one byte a character, of which one is by far the most frequent.
    first = [] if any(match.multi_byte_usage for match in matches[:1]) else ["cp1252"]
    likely = " or ".join(list(dict.fromkeys([*first, *(match.encoding for match in matches)]))[:_SHOWN])
    return f"likely {likely}: data.encoding names that of tables of rows; or save it as UTF-8 (in Excel: CSV UTF-8)"


def _header(text: str) -> str:
    line = _LINE.search(text)
    return line[0] if line else ""


def _delimiter(text: str) -> str:
    header = _header(text[: 1 << 16])
    if "," in header:
        return ","
    return next((each for each in _DELIMITERS if each in header), ",")


def _check_counts(path: Path, text: str, delimiter: str) -> None:
    """Refuse more columns and cells than a table may have, before any of them takes memory."""
    for name, number, most in (
        ("columns", _header(text).count(delimiter) + 1, MAX_COLUMNS),
        ("cells", text.count(delimiter) + text.count("\n"), MAX_CELLS),
    ):
        if number > most:
            raise _refused(path, f"it has {number:,} {name}; a table may have {most:,}")


def _check_cells(path: Path, frame: pd.DataFrame) -> None:
    for name, column in frame.items():
        lengths = column.str.len()
        if lengths.max() > MAX_CELL:
            row = int(lengths.argmax()) + 1
            raise _refused(path, _long_cell_reason(f"data row {row}, column '{shortened(str(name))}'"))


def _long_cell_reason(where: str) -> str:
    return f"{where}: a cell of more than {MAX_CELL:,} characters; is a quote not closed?"


def _without_ragged_ends(path: Path, text: str, delimiter: str, missing: list[str], error: Exception) -> pd.DataFrame:
    """Return the table whose rows have empty cells beyond the header. Raises DataError for any other fault."""
    rows: list[list[str]] = []
    ragged: list[tuple[int, int]] = []
    header: list[str] = []
    for line, row in _rows(path, text, delimiter):
        if not header:
            header = row
        elif any(cell.strip() for cell in row[len(header) :]):
            ragged.append((line, len(row)))
        else:
            rows.append(row[: len(header)] + [""] * (len(header) - len(row)))
    if ragged:
        raise _refused(path, _ragged_reason(ragged, len(header), delimiter))
    if not rows or len(set(header)) < len(header):
        raise _refused(path, _one_line(error)) from None
    frame = pd.DataFrame(rows, columns=header, dtype=object)
    frame = frame.where(frame != "", float("nan")) if missing else frame
    frame.attrs[TRAILING] = True
    return frame


def _rows(path: Path, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each row's last line, and its cells; lines without anything are no rows."""
    before = csv.field_size_limit(MAX_CELL)
    reader = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        for row in reader:
            if row:
                yield reader.line_num, row
    except csv.Error as error:
        if "field limit" in str(error):
            raise _refused(path, _long_cell_reason(f"line {reader.line_num}")) from None
        raise _refused(path, f"line {reader.line_num}: {_one_line(error)}") from None
    finally:
        csv.field_size_limit(before)


def _ragged_reason(ragged: list[tuple[int, int]], header: int, delimiter: str) -> str:
    name = {",": "comma", ";": "semicolon", "\t": "tab"}.get(delimiter, f"'{delimiter}'")
    shown = first_few([f"line {line}: {cells}" for line, cells in ragged], _SHOWN)
    have = "1 row has" if len(ragged) == 1 else f"{len(ragged)} rows have"
    return (
        f"{have} more cells than the {header} columns of the header ({shown}); is there a {name} too "
        f"many, a text with a {name} that lacks its quotes, or no header at all?"
    )


def _refused(path: Path, reason: str) -> DataError:
    return DataError([f"{path}: {_AS_CSV}: {reason}"])


def _one_line(error: Exception) -> str:
    return shortened(" ".join(str(error).split()), 160)
