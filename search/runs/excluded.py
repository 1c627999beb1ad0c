"""Rows that `data.exclude` leaves out."""

from __future__ import annotations

from foldtune.errors import DataError, InputError
from foldtune.search.config.data_section import DataConfig
from foldtune.trainers.data.exclude import EXCLUDED, read_marked
from foldtune.trainers.data.table import Table


def check_marked(data: DataConfig) -> None:
    """Raise InputError where the table of marks is gone, or not one."""
    if data.exclude is not None and not data.exclude.is_file():
        raise InputError(f"data.exclude: {data.exclude}: no such file")
    marked_ids(data)


def marked_ids(data: DataConfig) -> frozenset[str]:
    """Return the ids of marked rows; none where the table is gone, as for a run that has its rows already.

    Raises:
        InputError: what is wrong with the table.
    """
    if data.exclude is None or not data.exclude.is_file():
        return frozenset()
    try:
        return read_marked(data.exclude)
    except DataError as error:
        raise InputError([f"data.exclude: {text}" for text in error.problems]) from None


def marks_notes(data: DataConfig, table: Table) -> tuple[str, ...]:
    """Return the line on marks that no row has."""
    marked, found = len(marked_ids(data)), table.left_out.get(EXCLUDED, 0)
    if found >= marked:
        return ()
    return (f"data.exclude: {marked} images are marked in {data.exclude}, {found} of them are rows of {data.train}",)
