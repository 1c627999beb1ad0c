"""Splits that the data bring along: a table of validation rows, a column of folds, a column of splits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import canonical_text, integral
from foldtune.errors import DataError
from foldtune.trainers.data.folds import Folds, assign_folds
from foldtune.trainers.data.readers.source import PART_NAMES
from foldtune.wording import first_few, shortened, unknown

TRAIN_ONLY, TO_ASSIGN = -1, -2
"""Parts of rows that lie in no given fold: those that every training has and none is judged by, and those whose fold
is still to be drawn."""
TRAIN, VALID, TEST = "train", "valid", "test"
MAX_FOLDS = 50


def splits_of(column: pd.Series[Any]) -> tuple[npt.NDArray[np.str_], list[str]]:
    """Return the split (N,) of each row, one of TRAIN, VALID and TEST, and the problems of the column."""
    cells = [canonical_text(str(cell)) for cell in column.fillna("")]
    strange = sorted({cell for cell in cells if cell.casefold() not in PART_NAMES} - {""})
    problems = [
        f"column '{column.name}': {unknown('split', cell, PART_NAMES)} (in {cells.count(cell)} rows)"
        for cell in strange[:3]
    ]
    if len(strange) > 3:
        problems.append(f"column '{column.name}': and {len(strange) - 3} more values that are no splits")
    if "" in cells:
        problems.append(_empty(column, cells))
    return np.array([PART_NAMES.get(cell.casefold(), TRAIN) for cell in cells], dtype=np.str_), problems


def folds_of(column: pd.Series[Any]) -> tuple[Folds, list[str]]:
    """Return the fold (N,) of each row, from 0 in the order of the column's values, and the problems of the column.

    A row of -1 is TRAIN_ONLY.
    """
    cells = [canonical_text(str(cell)) for cell in column.fillna("")]
    names = {cell: integral(cell) or cell for cell in dict.fromkeys(cells)}
    distinct = set(names.values()) - {"", "-1"}
    whole = all(integral(name) is not None for name in distinct)
    order = sorted(distinct, key=int) if whole else sorted(distinct)
    problems = [_empty(column, cells)] if "" in names else []
    if len(order) > MAX_FOLDS:
        problems.append(f"column '{column.name}' has {len(order)} folds ({first_few(order)}); at most {MAX_FOLDS}")
    if not order or (len(order) < 2 and "-1" not in names):
        only = f"one fold alone ({shortened(order[0])})" if order else "no folds"
        problems.append(f"column '{column.name}' has {only}; a training needs rows outside of the fold that judges it")
    places = {name: place for place, name in enumerate(order)} | {"-1": TRAIN_ONLY, "": TRAIN_ONLY}
    return np.array([places[names[cell]] for cell in cells], dtype=np.int64), problems


def _empty(column: pd.Series[Any], cells: Sequence[str]) -> str:
    rows = [row + 1 for row, cell in enumerate(cells) if not cell]
    return f"column '{column.name}' is empty in {len(rows)} rows (data rows {first_few(rows)})"


def complete_folds(
    strata: npt.NDArray[Any],
    groups: npt.NDArray[Any] | None,
    parts: Folds,
    n_splits: int,
    seed: int,
    *,
    label_names: Sequence[str] | None = None,
) -> Folds:
    """Return the fold (N,) of each row, -1 for one that only trains: given ones as given, the others drawn.

    Args:
        strata, seed, label_names: as of `assign_folds`.
        groups: (N,) rows with the same value share a fold; None without groups.
        parts: (N,) given fold, TRAIN_ONLY or TO_ASSIGN; rows to assign share the folds that no row is given.

    Raises:
        DataError: a group in several parts, a given fold beyond the number, or too few rows to assign.
    """
    check_groups(groups, parts)
    given = np.unique(parts[parts >= 0])
    if len(given) and given[-1] >= n_splits:
        raise DataError([f"{given[-1] + 1} folds are given, and ensemble.folds is {n_splits}"])
    free = np.setdiff1d(np.arange(n_splits), given)
    folds, rest = parts.copy(), parts == TO_ASSIGN
    if not rest.any():
        return folds
    if len(given) and len(free) == 1:
        raise DataError(
            [
                f"{n_splits} folds, {len(given)} of them given, leave one for all other rows, whose model would be "
                "trained without them; take one more, or one less"
            ]
        )
    if n_splits < 2 and not len(given):
        raise DataError(["one fold judges by a given split, and none is given"])
    if not len(free):
        folds[rest] = TRAIN_ONLY
        return folds
    own = None if groups is None else groups[rest]
    folds[rest] = free[assign_folds(strata[rest], own, len(free), seed, label_names=label_names)]
    return folds


def check_groups(groups: npt.NDArray[Any] | None, parts: Folds) -> None:
    """Raise DataError where a group of `groups` (N,) has rows in several of `parts` (N,)."""
    if groups is None:
        return
    names, units = np.unique(groups, return_inverse=True)
    lowest, highest = np.full(len(names), np.iinfo(np.int64).max), np.full(len(names), np.iinfo(np.int64).min)
    np.minimum.at(lowest, units, parts)
    np.maximum.at(highest, units, parts)
    torn = np.flatnonzero(lowest != highest)
    if len(torn):
        group = torn[0]
        where = " and ".join(_part_name(int(each[group])) for each in (lowest, highest))
        raise DataError(
            [
                f"{len(torn)} groups have rows on both sides of the given split (first: "
                f"{shortened(repr(str(names[group])))}, in {where}): a model would be judged by what it was trained on"
            ]
        )


def _part_name(part: int) -> str:
    return f"fold {part}" if part >= 0 else "the training part"
