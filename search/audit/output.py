"""Files of an audit in a folder: the table of findings, which people mark, and the contact sheet."""

from __future__ import annotations

from pathlib import Path

from foldtune.errors import DataError, InputError
from foldtune.results.exports.contact_sheet import write_sheets
from foldtune.results.storage.files import write_csv
from foldtune.search.audit.audit import Audit
from foldtune.search.audit.sheet import audit_sheets
from foldtune.trainers.data.exclude import read_marked

TABLE, SHEET = "audit.csv", "audit.png"


def check_unmarked(folder: Path) -> None:
    """Refuse a folder whose table holds marks that somebody made.

    Raises:
        InputError: it does, or is no table of an audit.
    """
    path = folder / TABLE
    if not path.is_file():
        return
    try:
        marked = read_marked(path)
    except DataError as error:
        raise InputError([f"-o {folder}: {text}; name another folder" for text in error.problems]) from None
    if marked:
        raise InputError(
            f"-o {folder}: {path} has {len(marked)} marked images, which would be lost; name another folder"
        )


def write_audit(audit: Audit, folder: Path) -> list[Path]:
    """Write the table and, where there is something to show, the sheet; return the files. Raises StorageError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_csv(folder / TABLE, audit.frame)
    written = [folder / TABLE]
    if sheets := audit_sheets(audit):
        write_sheets(folder / SHEET, sheets)
        written.append(folder / SHEET)
    else:
        (folder / SHEET).unlink(missing_ok=True)  # of an earlier audit
    return written
