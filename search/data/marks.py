"""Rows that `data.exclude` marks to be left out, and marks that no such row has."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from foldtune.canonical import canonical_text
from foldtune.errors import DataError, InputError
from foldtune.results.tables.formatting import counted
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.config.sections.extra_section import prefix_of
from foldtune.search.data.rows import read_rows
from foldtune.trainers.data.exclude import Marked, read_marked
from foldtune.trainers.data.readers import Part
from foldtune.trainers.tasks import Task
from foldtune.wording import did_you_mean_file, first_few

if TYPE_CHECKING:
    import pandas as pd


def check_marked(data: DataConfig) -> None:
    """Raise InputError where the table of marks is gone, or not one."""
    if data.exclude is not None and not data.exclude.is_file():
        raise InputError(f"data.exclude: {data.exclude}: no such file")
    marked_rows(data)


def marked_rows(data: DataConfig) -> Marked:
    """Return the marked rows; none where the table is gone, as for a run that has its rows already.

    Raises:
        InputError: what is wrong with the table.
    """
    if data.exclude is None or not data.exclude.is_file():
        return Marked()
    try:
        return read_marked(data.exclude)
    except DataError as error:
        raise InputError([f"data.exclude: {text}" for text in error.problems]) from None


def marks_notes(data: DataConfig, task: Task, trained: pd.DataFrame) -> tuple[str, ...]:
    """Return lines on marks of labels of cases, of rows to submit, which stay, and on marks that no row has.

    Args:
        trained: labelled rows of `data.train`.
    """
    marked = marked_rows(data)
    if not len(marked):
        return ()
    own = [(trained, "")]
    if data.valid is not None:
        own.append((_rows(data, task, data.valid, "valid"), ""))
    extra = enumerate(data.extra, start=1)
    own += [(_rows(data, task, entry.table, "train"), prefix_of(number)) for number, entry in extra]
    labelled = {prefix + name for frame, prefix in own for name in _names(data, frame)}
    submitted = set() if data.test is None else _names(data, _rows(data, task, data.test, "test"))
    staying = sorted(marked.submitted | ((marked.rows - labelled) & submitted))
    strange = sorted(marked.rows - labelled - submitted)
    lines = _of_cases(data, marked, own)
    if staying:
        lines.append(f"{counted(len(staying), 'mark')} of rows to submit, which stay: {first_few(staying)}")
    if strange:
        meant = did_you_mean_file(strange[0], labelled)
        lines.append(f"{counted(len(strange), 'mark')} of images that are no rows: {first_few(strange)}{meant}")
    return tuple(f"data.exclude: {data.exclude}: {line}" for line in lines)


def _of_cases(data: DataConfig, marked: Marked, tables: Sequence[tuple[pd.DataFrame, str]]) -> list[str]:
    """Return the line on cases that are left out whole, none without them; of each table with the prefix of its ids."""
    names: list[str] = []
    for frame, prefix in tables:
        if data.image_column in frame and data.case_column in frame:
            rows = marked.under(prefix).of_cases(frame, data.image_column, data.case_column)
            names.extend(canonical_text(str(name)) for name in frame[data.case_column][rows])
    if not names:
        return []
    cases = sorted(set(names))
    whole = f"{counted(len(cases), 'case')} of {counted(len(names), 'row')}"
    return [f"{whole} left out whole, since a doubtful label is that of its case: {first_few(cases)}"]


def _rows(data: DataConfig, task: Task, path: Path, part: Part) -> pd.DataFrame:
    """Return the rows of a table, none where it cannot be read, which the check of that table words."""
    import pandas as pd

    try:
        return read_rows(data, task, path, part).frame
    except DataError:
        return pd.DataFrame()


def _names(data: DataConfig, frame: pd.DataFrame) -> set[str]:
    """Return the ids of rows in their canonical form."""
    return {canonical_text(str(name)) for name in frame.get(data.image_column, [])}
