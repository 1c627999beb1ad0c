"""Columns of a table: which one names pictures, which may hold labels, which repeats over pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import pandas as pd

from foldtune.search.init.findings import Finding, Undecided
from foldtune.search.init.inventory import Inventory
from foldtune.trainers.data.readers.source import part_of

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
_BINARY = frozenset({"0", "1", "0.0", "1.0", "true", "false"})
_MAX_CLASSES = 1000
"""Distinct labels of one column."""
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


def is_binary(column: pd.Series[str]) -> bool:
    """Whether all cells are 0 or 1 (or 1.0, True, …), and both occur or it is part of a set of such columns."""
    return set(column.dropna().astype(str).str.strip().str.lower().unique()) <= _BINARY


def are_numbers(frame: pd.DataFrame, names: Sequence[str]) -> bool:
    """Whether columns together are one form of labels: all of 0 and 1, or all of numbers from 0 to 1."""
    if len(names) < 2 or all(is_binary(frame[name]) for name in names):
        return len(names) > 1
    return all(pd.to_numeric(frame[name].dropna(), errors="coerce").between(0, 1).all() for name in names)


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
        if repeats and named and not is_binary(cells):
            found[str(name)] = distinct
    return sorted(found, key=lambda name: found[name])


def label_columns(frame: pd.DataFrame, known: Sequence[str], shown: Sequence[str]) -> list[str]:
    """Return the columns that may hold labels.

    Args:
        known: columns that are something else.
        shown: columns of a table without labels, which are no labels either.
    """
    columns = [str(name) for name in frame.columns if name not in known and name not in shown]
    few = [name for name in columns if 1 < frame[name].nunique() <= min(_MAX_CLASSES, max(2, len(frame) // 2))]
    lists = [name for name in columns if name not in few and frame[name].dropna().str.startswith(("[", "{")).any()]
    return [*few, *lists]


def choose_target(frame: pd.DataFrame, candidates: Sequence[str]) -> tuple[str, ...]:
    """Return the column of labels, or the columns of one-hot or multi-hot ones.

    Raises:
        Undecided: no column, or several that may be it.
    """
    hot = [name for name in candidates if is_binary(frame[name])]
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
        raise Undecided("no column looks like labels; there are", "--target COLUMN", list(map(str, frame.columns)))
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
