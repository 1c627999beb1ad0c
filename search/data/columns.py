"""Columns of metadata, `data.columns`, of the rows that are trained on, submitted or predicted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from foldtune.canonical import Spellings, canonical_text
from foldtune.errors import DataError, InputError
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.data.rows import read_rows
from foldtune.search.voting.columns import Columns, Kind
from foldtune.trainers.data.table import group_names
from foldtune.trainers.images.image_files import IMAGE_SUFFIXES
from foldtune.trainers.tasks import Task
from foldtune.wording import first_few, shortened, unknown

if TYPE_CHECKING:
    import pandas as pd

CASE_NAME = "\0case"
"""Column of the cases in a table of one row a case; no table has one of that name."""
MAX_CATEGORY = 100
"""Characters of a category; longer ones are cut."""


def labelled_columns(data: DataConfig, task: Task, ids: Sequence[str]) -> Columns | None:
    """Return the columns of labelled rows, by their ids; None where the configuration names none.

    Raises:
        InputError: an absent column, or cells that are no numbers.
    """
    tables = [data.train] if data.valid is None else [data.train, data.valid]
    return _columns(data, task, tables, ids)


def submitted_columns(data: DataConfig, task: Task, ids: Sequence[str]) -> Columns | None:
    """Return the columns of the rows to submit; else as `labelled_columns`."""
    return None if data.test is None else _columns(data, task, [data.test], ids)


def check_columns(data: DataConfig, task: Task) -> None:
    """Check that every table has the columns, and numbers in those of numbers.

    Raises:
        InputError: every problem; a column that names or labels the rows is no metadata.
    """
    problems = [
        f"data.columns: column {name!r} holds {what}; leave it out"
        for name in data.columns or ()
        if (what := _no_metadata(data, name))
    ]
    for read in (labelled_columns, submitted_columns):
        try:
            read(data, task, ())
        except InputError as error:
            problems += error.problems
    if data.columns and "weighted" not in task.votings:
        problems.append(f"data.columns: the task {task.name} has no scores of classes to stack; leave it out")
    if problems:
        raise InputError(problems)


def _no_metadata(data: DataConfig, name: str) -> str:
    """Return what a column holds that names or labels the rows, "" where it is any other."""
    ids = (data.id,) if isinstance(data.id, str) else data.id
    if name in ids:
        return "the images' names (data.id)"
    if name == data.case:
        return "the cases' names (data.case)"
    columns = (data.target,) if isinstance(data.target, str) else data.target_columns or ()
    labels = fnmatchcase(name, columns) if isinstance(columns, str) else name in columns
    return "labels (data.target), which rows to submit lack" if labels else ""


def columns_of(
    frame: pd.DataFrame,
    id_column: str,
    kinds: Mapping[str, Kind],
    ids: Sequence[str],
    source: Path,
    *,
    cases: bool = False,
) -> Columns:
    """Return columns of rows, by their ids, from a table; a row that it lacks has none of them.

    Args:
        cases: whether ids are names of cases, all rows of which have one value, or none.

    Raises:
        InputError: an absent column, cells that are no numbers, or cases with several values.
    """
    problems = [
        f"data.columns: {unknown(f'column of {source}:', name, map(str, frame.columns))}"
        for name in kinds
        if name not in frame
    ]
    if problems:
        raise InputError(problems)
    names = frame[id_column].fillna("").astype(str)
    if cases:
        frame, names = _one_row_a_case(frame[list(kinds)], names, source)
    else:
        _check_one_value(frame[list(kinds)], names, ids, source)
    rows = _rows_of_cases(ids, names) if cases else _rows_of(ids, names)
    values: dict[str, npt.NDArray[Any]] = {}
    for name, kind in kinds.items():
        cells = frame[name].fillna("").astype(str).str.strip()
        try:
            whole = _numbers(cells, name, source) if kind == "number" else _categories(cells)
        except InputError as error:
            problems += error.problems
            continue
        missing: Any = np.nan if kind == "number" else ""
        values[name] = np.where(rows >= 0, whole[rows], missing) if len(rows) else whole[:0]
    if problems:
        raise InputError(problems)
    return Columns(values)


def _one_row_a_case(frame: pd.DataFrame, names: pd.Series, source: Path) -> tuple[pd.DataFrame, pd.Series]:
    """Return one row a case: of each column the value of the first row that has one. Raises InputError for several."""
    texts = frame.fillna("").astype(str).map(canonical_text)
    cells: Any = texts.where(texts != "").groupby(group_names(names.tolist()), sort=False)
    several = cells.nunique() > 1
    problems = [
        f"data.columns.{name}: {int(torn.sum())} cases of {source} have several values (first: "
        f"{shortened(repr(str(torn.idxmax())))}); a case is judged as one, so its rows have one value"
        for name, torn in several.items()
        if torn.any()
    ]
    if problems:
        raise InputError(problems)
    first = cells.first().reset_index(names=CASE_NAME)
    return first.drop(columns=CASE_NAME), first[CASE_NAME]


def _check_one_value(frame: pd.DataFrame, names: pd.Series, ids: Sequence[str], source: Path) -> None:
    """Raise InputError where a table has several rows of one of the images, with other values."""
    wanted = set(map(_without_extension, map(canonical_text, ids)))
    keys = names.map(canonical_text).map(_without_extension)
    several = frame[keys.isin(wanted) & keys.duplicated(keep=False)].fillna("").astype(str)
    torn = several.groupby(keys, sort=False).nunique().gt(1).any(axis=1)
    if torn.any():
        raise InputError(
            f"data.columns: {source} has several rows of {int(torn.sum())} images, with other values (first: "
            f"{shortened(repr(str(torn.idxmax())))}); keep one of each"
        )


def _rows_of_cases(ids: Sequence[str], names: Iterable[str]) -> npt.NDArray[np.int64]:
    """Return the row (N,) of each case among names, -1 without one, in whatever spelling that joins rows to cases."""
    names = list(names)
    place, known = {name: row for row, name in enumerate(names)}, Spellings(names)
    return np.array([place.get(known.find(name) or "", -1) for name in ids], dtype=np.int64)


def names_any(ids: Sequence[str], names: Iterable[str]) -> bool:
    """Return whether a table's names hold any of these ids."""
    return bool((_rows_of(ids, names) >= 0).any())


def _rows_of(ids: Sequence[str], names: Iterable[str]) -> npt.NDArray[np.int64]:
    """Return the row (N,) of each id among names, -1 without one; either may lack the extension of the file."""
    exact: dict[str, int] = {}
    plain: dict[str, int] = {}
    for row, name in enumerate(map(canonical_text, names)):
        exact.setdefault(name, row)
        stem = _without_extension(name)
        plain[stem] = row if plain.get(stem, row) == row else -1  # of two files of a stem neither
    wanted = [canonical_text(name) for name in ids]
    return np.array([exact.get(name, plain.get(_without_extension(name), -1)) for name in wanted], dtype=np.int64)


def _without_extension(name: str) -> str:
    stem, dot, extension = name.rpartition(".")
    return stem if dot and f".{extension.lower()}" in IMAGE_SUFFIXES else name


def _columns(data: DataConfig, task: Task, tables: Sequence[Path], ids: Sequence[str]) -> Columns | None:
    if not data.columns:
        return None
    found: list[Columns] = []
    for table in tables:
        try:
            frame = read_rows(data, task, table, "test" if table == data.test else "train").frame
        except DataError:
            return None  # which the check of the rows words
        if data.judged_column not in frame:
            return None
        found.append(
            columns_of(frame, data.judged_column, data.columns, ids, table, cases=data.case_column is not None)
        )
    return _first_known(found)


def _first_known(found: Sequence[Columns]) -> Columns:
    """Join columns of the same rows from several tables: what a later one knows stands over what is missing."""
    first, *others = found
    values = dict(first.values)
    for other in others:
        for name, own in other.values.items():
            missing = np.isnan(values[name]) if own.dtype.kind == "f" else values[name] == ""
            values[name] = np.where(missing, own, values[name])
    return Columns(values)


def _numbers(cells: pd.Series, name: str, source: Path) -> npt.NDArray[np.float64]:
    values = np.full(len(cells), np.nan)
    strange: list[str] = []
    for row, cell in enumerate(cells):
        if cell:
            with suppress(ValueError):
                values[row] = float(cell)
            if not np.isfinite(values[row]):
                strange.append(f"{cell!r} in data row {row + 1}")
    if strange:
        raise InputError(
            f"data.columns.{name}: {len(strange)} cells of {source} are no numbers (first: {first_few(strange, 3)}); "
            "an empty cell is a missing one, and a column of words is a category"
        )
    return values


def _categories(cells: pd.Series) -> npt.NDArray[np.object_]:
    values = np.empty(len(cells), dtype=object)
    values[:] = [canonical_text(cell)[:MAX_CATEGORY] for cell in cells]
    return values
