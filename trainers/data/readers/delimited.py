"""Text tables: cells between commas, tabs, semicolons or bars; and files that are no tables, refused by name."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

from foldtune.csv_files import TRAILING, read_csv
from foldtune.errors import DataError
from foldtune.trainers.data.readers.source import Reader, ReadOptions, Source

_UNNAMED = "Unnamed: "
"""Beginning of what pandas calls a column without a name."""
_TRAILING_NOTE = "lines end in a trailing comma (or another delimiter), and the empty cell behind it is dropped"


class DelimitedText(Reader):
    """CSV, TSV and their relatives, also packed (.gz, .bz2, .xz, a .zip of one file)."""

    suffixes = tuple(name + packed for name in (".csv", ".tsv") for packed in ("", ".gz", ".bz2", ".xz"))

    def matches(self, path: Path) -> bool:
        """Any file, since any suffix may hold text; what is no text is refused by its first bytes."""
        return path.is_file()

    def read(self, path: Path, options: ReadOptions) -> Source:
        frame = read_csv(path, encoding=options.encoding)
        trailing = bool(frame.attrs.get(TRAILING))
        last = frame.columns[-1]
        if str(last).startswith(_UNNAMED) and frame[last].isna().all() and len(frame.columns) > 1:
            frame, trailing = frame.drop(columns=last), True
        return Source(frame, notes=(f"{path.name}: {_TRAILING_NOTE}",) if trailing else ())


_UNPACK = "an archive; unpack it, and name the folder or the table in it"
_SHEET = "a workbook; save the sheet with the rows as CSV in UTF-8 or as Parquet"
_CONVERT = "; save the rows as CSV or Parquet, and the images as files"
_FORMS: Mapping[str, str] = {
    **dict.fromkeys((".tar", ".tgz", ".tbz2", ".txz", ".tar.gz", ".tar.bz2", ".tar.xz", ".7z", ".rar"), _UNPACK),
    **dict.fromkeys((".xlsx", ".xlsm", ".xls", ".ods"), _SHEET),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), "a pickle, which may run code" + _CONVERT),
    **dict.fromkeys((".h5", ".hdf5"), "an HDF5 file" + _CONVERT),
    **dict.fromkeys((".feather", ".arrow"), "an Arrow file" + _CONVERT),
    **dict.fromkeys((".sqlite", ".sqlite3", ".db"), "a database" + _CONVERT),
    ".mat": "a file of MATLAB" + _CONVERT,
    ".tfrecord": "a file of TFRecords" + _CONVERT,
    ".xml": "XML" + _CONVERT,
    ".dcm": "a DICOM image; name the table that lists the images, or their folder",
}
"""Suffix -> what such a file is, and what to do."""


class RefusedForm(Reader):
    """A file of a form that is never read as rows, by its suffix."""

    suffixes = (*_FORMS, ".zip")

    def matches(self, path: Path) -> bool:
        return path.is_file() and _form(path) is not None

    def read(self, path: Path, options: ReadOptions) -> Source:
        raise DataError([f"{path}: is {_form(path)}"])


def _form(path: Path) -> str | None:
    for suffix in ("".join(path.suffixes[-2:]).lower(), path.suffix.lower()):
        if suffix in _FORMS:
            return _FORMS[suffix]
    if path.suffix.lower() != ".zip" or not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        files = [name for name in archive.namelist() if not name.endswith("/")]
    return None if len(files) == 1 else _UNPACK.replace("an archive", f"an archive of {len(files)} files")
