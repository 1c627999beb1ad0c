"""The folds of a run: drawn, or given by the data; which key gives them, how many follow, and what is noted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError, InputError
from foldtune.results.tables.formatting import counted
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.trainers.data.folds import assign_folds
from foldtune.trainers.data.given_folds import TO_ASSIGN, TRAIN_ONLY, complete_folds
from foldtune.trainers.data.table import Table
from foldtune.trainers.tasks import Task

KEYS = ("valid", "fold", "split")
"""Keys of `data` that give a split, of which one at most is named."""


def given_by(data: DataConfig) -> str | None:
    """Return the key of `data` by which folds are given, None without one. Raises InputError for several."""
    named = [key for key in KEYS if getattr(data, key) is not None]
    if len(named) > 1:
        raise InputError([f"data.{key}: leave it out beside data.{named[0]}" for key in named[1:]])
    return named[0] if named else None


def with_given_number(config: RunConfig, table: Table) -> RunConfig:
    """Return the configuration with the number of folds of a column of folds.

    Raises:
        InputError: another number is written in the configuration.
    """
    if config.data.fold is None or table.parts is None:
        return config
    folds, number = int(table.parts.max()) + 1, config.ensemble.folds
    if folds == number:
        return config
    if "folds" in config.ensemble.model_fields_set:
        raise InputError(
            f"ensemble.folds: {number}, and column {config.data.fold!r} (data.fold) has {counted(folds, 'fold')}; "
            "leave ensemble.folds out"
        )
    return config.model_copy(update={"ensemble": config.ensemble.model_copy(update={"folds": folds})})


def split(task: Task, table: Table, n_splits: int, seed: int) -> npt.NDArray[np.int64]:
    """Assign every row to a fold, stratified, and grouped where the table has groups.

    Raises:
        InputError: a class has fewer rows, or groups, than folds.
    """
    assert table.targets is not None
    if n_splits < 2:
        reason = "where data.valid, data.fold or data.split give no split"
        raise InputError(f"ensemble.folds: must be an integer >= 2 and <= 50, not {n_splits}, {reason}")
    try:
        return assign_folds(
            task.strata(table.targets),
            table.groups,
            n_splits,
            seed,
            label_names=task.trained_names,
            by_weight=np.asarray(table.targets).dtype.kind == "f",
        )
    except DataError as error:
        raise InputError([f"ensemble.folds: {text}" for text in error.problems]) from None


def split_rows(task: Task, table: Table, config: RunConfig) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Return the fold (N,) of each row, -1 for one that only trains, and lines on given folds. Raises InputError."""
    if table.extra_weights is not None:
        own = table.extra_weights == 0
        drawn, lines = split_rows(task, replace(table.select(own), extra_weights=None), config)
        folds = np.full(len(table), TRAIN_ONLY, dtype=np.int64)
        folds[own] = drawn
        return folds, lines
    if table.parts is None:
        return split(task, table, config.ensemble.folds, config.search.seed), ()
    return _split_given(task, table, config)


def _split_given(task: Task, table: Table, config: RunConfig) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Return the fold (N,) of each row, -1 where it only trains, and lines on what was given and what was drawn.

    Raises:
        InputError: too few rows for the folds, or a group on both sides of the given split.
    """
    assert table.targets is not None
    assert table.parts is not None
    data, number, parts = config.data, config.ensemble.folds, table.parts
    try:
        folds = complete_folds(
            task.strata(table.targets), table.groups, parts, number, config.search.seed, label_names=task.trained_names
        )
    except DataError as error:
        key = f"data.{given_by(data) or 'train'}"
        raise InputError(
            [f"{'ensemble.folds' if text.startswith(f'{number} folds') else key}: {text}" for text in error.problems]
        ) from None
    return folds, _notes(task, table, data, folds)


def _notes(task: Task, table: Table, data: DataConfig, folds: npt.NDArray[np.int64]) -> tuple[str, ...]:
    assert table.targets is not None
    assert table.parts is not None
    trained = task.support(table.targets[folds != 0])
    unseen = [name for name, rows in trained.items() if rows == 0]
    judged = task.support(table.targets[folds == 0])
    absent = [name for name, rows in judged.items() if rows == 0]
    lines = (
        [
            f"classes that only the rows of fold 0 have, which judge the search: {', '.join(unseen)}; no trial of the "
            "search can learn them"
        ]
        if unseen
        else []
    )
    if absent:
        lines.append(f"classes without a row in fold 0, so the search is judged without them: {', '.join(absent)}")
    last, only = int(folds.max()), int((folds < 0).sum())
    if data.fold is not None:
        lines.append(f"data.fold: the {last + 1} folds of column {data.fold!r} are the run's")
    else:
        where = f"of {data.valid.name}" if data.valid is not None else "that are marked as validation"
        rest = f"folds 1 to {last} are made of the training part" if last else "no other fold is made"
        lines.append(f"data.{given_by(data) or 'train'}: the {int((folds == 0).sum())} rows {where} are fold 0; {rest}")
    if only and (table.parts != TO_ASSIGN).all():
        lines.append(f"{counted(only, 'row')} are in every training part and in no fold")
    return tuple(lines)


def without_prefix(text: str, path: Path) -> str:
    """Return a problem of a table without the table's name before it."""
    return text.removeprefix(f"{path}: ").removeprefix("the table: ")


def named_by_key(data: DataConfig, text: str) -> str:
    """Return a problem of a table of `data` as `data.KEY: FILE: problem`."""
    if text.startswith("data.extra."):
        return text
    for key in ("valid", "train"):
        path = getattr(data, key)
        if path is not None and (text.startswith(f"{path}: ") or key == "train"):
            return f"data.{key}: {path}: {without_prefix(text, path)}"
    return text


def drawn_again(table: Table) -> Table:
    """Return a table without given folds where it no longer has a row of one, so that all are drawn."""
    if table.parts is not None and not (table.parts >= 0).any():
        return replace(table, parts=None)
    return table
