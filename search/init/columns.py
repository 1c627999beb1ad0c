"""Columns of a table: which one names pictures, which may hold labels, which repeats over pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from foldtune.errors import DataError
from foldtune.search.init.findings import Finding, Undecided
from foldtune.search.init.inventory import Inventory
from foldtune.trainers.data.readers.source import part_of
from foldtune.trainers.data.target_forms.columns import UNCERTAIN, Values, column_values
from foldtune.wording import first_few

_TRIED = 400
"""Cells of a column that are tried."""
_NAMES = 0.5
"""Share of a column's cells that must be pictures."""
LABEL_NAMES = re.compile(
    r"(^|[_ .-])(labels?|target|class(es)?|dx|diagnos[ei]s|level|grade|stage|severity|findings?|category|y)($|[_ .-])",
    re.IGNORECASE,
)
GROUP_NAMES = re.compile(
    r"(patient|subject|person|lesion|case|eye|exam|study|visit|family|group|session|animal|slide|specimen)",
    re.IGNORECASE,
)
_MAX_CLASSES = 1000
"""Distinct labels of one column."""
_MAX_CODES = 20
"""Distinct integers up to which gaps between them are those of classes; ages and scores have more."""
_GROUP_SHARE = 0.02
"""Distinct values of a group by row, at least: sex or age repeat, too, and are no groups."""


def id_columns(frame: pd.DataFrame, inventory: Inventory) -> tuple[str, ...]:
    """Return the columns whose cells name pictures; several where each row has several pictures, else one or none."""
    shares = {str(name): _share(frame[name], inventory) for name in frame.columns}
    best = max(shares.values(), default=0.0)
    if best < _NAMES:
        return ()
    alike = [name for name, share in shares.items() if share >= _NAMES]
    numbered = {re.sub(r"\d+", "#", name) for name in alike}
    if len(alike) > 1 and len(numbered) == 1:
        return tuple(alike)
    return (next(name for name, share in shares.items() if share == best),)


def _share(column: pd.Series[str], inventory: Inventory) -> float:
    cells = column.dropna()
    tried = cells.iloc[:: max(1, len(cells) // _TRIED)]
    if tried.empty:
        return 0.0
    return sum(bool(inventory.files_of(str(cell))) for cell in tried) / len(tried)


def _numbers(frame: pd.DataFrame, names: Sequence[str]) -> Values | None:
    """Return the numbers of columns as labels are read, NaN where a cell is empty; None where cells are no numbers."""
    try:
        return column_values(frame, names, "the table")
    except DataError:
        return None


def is_binary(frame: pd.DataFrame, name: str) -> bool:
    """Whether all cells are 0 or 1 (or 1.0, True, …), -1 for uncertain, or empty."""
    values = _numbers(frame, [name])
    return values is not None and bool(np.isin(values[~np.isnan(values)], (0, 1, UNCERTAIN)).all())


def are_numbers(frame: pd.DataFrame, names: Sequence[str]) -> bool:
    """Whether columns together are one form of labels: all of 0, 1 and -1, or all of numbers from 0 to 1."""
    values = _numbers(frame, names) if len(names) > 1 else None
    if values is None:
        return False
    known = values[~np.isnan(values)]
    return bool(np.isin(known, (0, 1, UNCERTAIN)).all() or ((known >= 0) & (known <= 1)).all())


def has_fractions(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column holds numbers that are no classes: not whole ones, nor whole and half ones as levels may be."""
    values = _numbers(frame, [name])
    return values is not None and bool((values[~np.isnan(values)] * 2 % 1 != 0).any())


def is_measured(frame: pd.DataFrame, name: str) -> bool:
    """Whether a column holds measurements: fractions, or many integers with gaps under no name of labels."""
    values = _numbers(frame, [name])
    if values is None or has_fractions(frame, name):
        return values is not None
    distinct = np.unique(values[~np.isnan(values)])
    gaps = len(distinct) > _MAX_CODES and bool((np.diff(distinct) != 1).any())
    return gaps and not LABEL_NAMES.search(name)


def group_columns(frame: pd.DataFrame, others: Iterable[str]) -> list[str]:
    """Return the columns whose values repeat over pictures as names of patients or lesions do, the coarsest first.

    Args:
        others: columns that are something else.
    """
    found: dict[str, int] = {}
    for name in frame.columns:
        if name in set(others):
            continue
        cells = frame[name].dropna()
        distinct = cells.nunique()
        named = bool(GROUP_NAMES.search(str(name)))
        repeats = 1 < distinct < len(cells) and distinct >= _GROUP_SHARE * len(frame)
        if repeats and named and not is_binary(frame, name):
            found[str(name)] = distinct
    return sorted(found, key=lambda name: found[name])


def label_columns(frame: pd.DataFrame, known: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Return the columns that may hold labels.

    Args:
        known: columns that are something else.
        shown: columns of a table without labels, which are no labels either.
    """
    columns = [str(name) for name in frame.columns if name not in known and name not in shown]
    most = min(_MAX_CLASSES, max(2, len(frame) // 2))
    few = [name for name in columns if 1 < frame[name].nunique() <= most and not is_measured(frame, name)]
    lists = [name for name in columns if name not in few and frame[name].dropna().str.startswith(("[", "{")).any()]
    return [*few, *lists]


def choose_target(frame: pd.DataFrame, candidates: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Return the column of labels, or the columns of one-hot or multi-hot ones.

    Args:
        candidates: `label_columns`.
        known: columns that are something else.

    Raises:
        Undecided: no column, or several that may be it.
    """
    hot = [name for name in candidates if is_binary(frame, name)]
    rest = [name for name in candidates if name not in hot]
    named = [name for name in candidates if LABEL_NAMES.search(name)]
    if len(candidates) == 1:
        return (candidates[0],)
    if len(named) == 1 and named[0] not in hot:
        return (named[0],)
    if len(hot) > 1 and not rest:
        return tuple(hot)
    described = [f"{name} ({frame[name].nunique()} values)" for name in candidates]
    if not candidates:
        others = [name for name in map(str, frame.columns) if name not in known]
        measured = first_few([name for name in others if is_measured(frame, name)])
        what = f" ({measured}: measurements, no classes)" if measured else ""
        raise Undecided(f"no column looks like labels{what}; there are", "--target COLUMN", [*map(str, frame.columns)])
    raise Undecided("several columns may hold the labels", "--target COLUMN (again for more targets)", described)


_SPLITS = ("split", "set", "subset", "partition")
_FOLDS = ("fold", "folds", "kfold")
MAX_FOLDS = 50


def split_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns of parts, or of folds, that rows belong to."""
    return [name for name in map(str, frame.columns) if _is_split(frame[name]) or _is_fold(frame[name])]


def split_findings(frame: pd.DataFrame, has_valid: bool) -> list[Finding]:
    """Return the split of the table, where it has one and no validation part is given beside it."""
    found = [] if has_valid else split_columns(frame)
    for name in found:
        if _is_split(frame[name]):
            parts = ", ".join(f"{part}: {rows:,}" for part, rows in frame[name].value_counts().items())
            return [Finding("data.split", name, f"a split that exists ({parts})")]
    return [Finding("data.fold", found[0], f"{frame[found[0]].nunique()} folds that exist")] if found else []


def _is_split(column: pd.Series[str]) -> bool:
    if str(column.name).lower() not in _SPLITS:
        return False
    parts = {part_of(value.strip()) for value in column.dropna().astype(str).unique()}
    return "train" in parts and None not in parts and len(parts) > 1


def _is_fold(column: pd.Series[str]) -> bool:
    values = column.dropna().astype(str)
    named = str(column.name).lower() in _FOLDS
    return named and bool(values.str.fullmatch(r"\d+(\.0)?").all()) and 1 < values.nunique() <= MAX_FOLDS
