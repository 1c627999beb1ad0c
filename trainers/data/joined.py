"""Rows of two tables as one: those of validation, or those that only ever train, behind those of training."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError
from foldtune.trainers.data.given_folds import TO_ASSIGN, TRAIN_ONLY
from foldtune.trainers.data.table import Table, group_names
from foldtune.trainers.images.image_files import file_keys
from foldtune.wording import first_few


def with_validation(table: Table, valid: Table, source: Path) -> Table:
    """Return the rows of both tables, those of `valid` as fold 0.

    Raises:
        DataError: ids or image files that both have.
    """
    _check_apart(table, valid, source)
    return join(replace(table, parts=np.full(len(table), TO_ASSIGN)), replace(valid, parts=np.zeros(len(valid), int)))


def with_extra(table: Table, extra: Table, weight: float, source: Path) -> Table:
    """Return the rows of both tables, those of `extra` as rows that only ever train.

    Args:
        weight: factor of the loss of the rows of `extra`, > 0.
        source: file of `extra`, for messages.

    Raises:
        DataError: ids or image files that both have, groups or cases with rows in both.
    """
    _check_apart(table, extra, source)
    given = table.parts is not None
    parts = (table.parts if given else np.full(len(table), TO_ASSIGN)), np.full(len(extra), TRAIN_ONLY)
    joined = join(*(replace(each, parts=part) for each, part in zip((table, extra), parts, strict=True)))
    for names in (joined.groups, joined.cases):
        if names is not None and len(shared := np.intersect1d(names[: len(table)], names[len(table) :])):
            raise DataError(
                [
                    f"{source}: {len(shared)} groups or cases have rows in the training table, too "
                    f"({first_few(shared.tolist())}): a model would be judged by what it was trained on"
                ]
            )
    own = np.zeros(len(table)) if table.extra_weights is None else table.extra_weights
    weights = np.concatenate([own, np.full(len(extra), weight)])
    return replace(joined, parts=joined.parts if given else None, extra_weights=weights)


def _check_apart(table: Table, other: Table, source: Path) -> None:
    known = dict(zip(file_keys(table.paths), table.ids.tolist(), strict=True))
    ids = set(table.ids.tolist())
    shared = [
        name
        for name, key in zip(other.ids.tolist(), file_keys(other.paths), strict=True)
        if name in ids or key in known
    ]
    if shared:
        raise DataError([f"{source}: {len(shared)} images are training rows, too ({first_few(shared)})"])


def join(first: Table, second: Table) -> Table:
    """Return the rows of `first` and then those of `second`, which have the same columns and no id in common."""
    assert first.targets is not None
    assert second.targets is not None
    assert first.parts is not None
    assert second.parts is not None
    return Table(
        ids=np.concatenate([first.ids, second.ids]),
        paths=(*first.paths, *second.paths),
        targets=_stacked(first.targets, second.targets),
        groups=_names(first.groups, second.groups),
        left_out=dict(Counter(first.left_out) + Counter(second.left_out)),
        notes=tuple(dict.fromkeys([*first.notes, *second.notes])),
        parts=np.concatenate([first.parts, second.parts]).astype(np.int64),
        cases=_names(first.cases, second.cases),
    )


def _names(first: npt.NDArray[np.str_] | None, second: npt.NDArray[np.str_] | None) -> npt.NDArray[np.str_] | None:
    """Return groups or cases of both: one may spell 7 what is 7.0 in the other."""
    if first is None or second is None:
        return None
    return group_names([*first.tolist(), *second.tolist()])


def _stacked(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return targets of both, (N, ...) and (M, ...): places of boxes that a row does not have are NaN."""
    if first.shape[1:] == second.shape[1:]:
        return np.concatenate([first, second])
    shape = tuple(map(max, first.shape[1:], second.shape[1:]))
    padded = np.full((len(first) + len(second), *shape), np.nan, dtype=np.result_type(first, second))
    padded[(slice(len(first)), *map(slice, first.shape[1:]))] = first
    padded[(slice(len(first), None), *map(slice, second.shape[1:]))] = second
    return padded
