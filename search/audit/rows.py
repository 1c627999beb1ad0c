"""Rows of an audit: those of the training table with their folds, then those to submit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import canonical_text
from foldtune.errors import DataError, InputError
from foldtune.search.assess.preview import label_texts
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.data.dataset import read_labelled, read_labels, read_unlabelled
from foldtune.search.data.given_splits import split_rows, with_given_number
from foldtune.search.data.rows import read_rows
from foldtune.search.runs.run import Run, rows_of_run
from foldtune.trainers.data.readers import Part
from foldtune.trainers.data.table import Table
from foldtune.trainers.tasks import TASKS, Task
from foldtune.wording import unknown


@dataclass(frozen=True, eq=False)
class AuditRows:
    """N rows: T labelled ones, then those to submit.

    Attributes:
        is_test: (N,) whether a row is to be submitted.
        folds: (N,) fold of a labelled row, -1 for one that only trains, and for one to submit.
        groups: (N,) groups, "" for rows to submit; None without groups.
        labels: (N,) labels as text, "" for rows to submit.
        targets: (T, ...) as the task encodes them.
        cells: (N,) texts of each other column of the tables by name, "" where a table lacks it.
        shared: names of the columns that both tables have.
        notes: what is spelled in two ways, or doubtful for other reasons, a line each.
        is_extra: (N,) whether a row is one of `data.extra`; None without such rows.
        cases: (N,) case of a labelled row, "" for rows to submit; None where images are judged by themselves.
    """

    task: Task
    data: DataConfig
    ids: npt.NDArray[np.str_]
    paths: tuple[Path, ...]
    is_test: npt.NDArray[np.bool_]
    folds: npt.NDArray[np.int64]
    groups: npt.NDArray[np.object_] | None
    labels: npt.NDArray[np.object_]
    targets: npt.NDArray[Any]
    cells: Mapping[str, npt.NDArray[np.object_]] = field(default_factory=dict)
    shared: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    is_extra: npt.NDArray[np.bool_] | None = None
    cases: npt.NDArray[np.object_] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def train(self) -> npt.NDArray[np.int64]:
        """Places of the labelled rows."""
        return np.flatnonzero(~self.is_test)

    @property
    def judged(self) -> dict[str, int]:
        """Place of each labelled row that may be judged, by its id; of a case by the case's, at its first image."""
        rows = self.train if self.is_extra is None else np.flatnonzero(~self.is_test & ~self.is_extra)
        names = self.ids if self.cases is None else self.cases
        return {str(names[row]): int(row) for row in rows[::-1]}

    @property
    def test(self) -> npt.NDArray[np.int64]:
        """Places of the rows to submit."""
        return np.flatnonzero(self.is_test)


def without_extra(
    rows: AuditRows, columns: Mapping[str, npt.NDArray[Any]]
) -> tuple[AuditRows, dict[str, npt.NDArray[Any]]]:
    """Return rows and columns (N,) of them without the rows of `data.extra`, which have other columns and origins."""
    if rows.is_extra is None:
        return rows, dict(columns)
    kept = np.flatnonzero(~rows.is_extra)
    arrays = ((each.name, getattr(rows, each.name)) for each in fields(rows) if each.name != "targets")
    chosen: dict[str, Any] = {name: values[kept] for name, values in arrays if isinstance(values, np.ndarray)}
    own = replace(
        rows,
        **chosen,
        paths=tuple(rows.paths[row] for row in kept),
        targets=rows.targets[kept[kept < len(rows.targets)]],
        cells={name: values[kept] for name, values in rows.cells.items()},
    )
    return own, {name: values[kept] for name, values in columns.items()}


def rows_of_config(config: RunConfig) -> AuditRows:
    """Return the rows of a configuration, in the folds that a search of it would have.

    Raises:
        InputError: every problem of the task and the tables, and classes that are too small for the folds.
    """
    if config.task not in TASKS:
        raise InputError(f"task: {unknown('task', config.task, TASKS)}")
    task, table = read_labelled(config.data, config.task)
    test = read_unlabelled(config.data, task) if config.data.test else None
    folds, notes = split_rows(task, table, with_given_number(config, table))
    rows = joined_rows(task, config.data, replace(table, notes=(*table.notes, *notes)), folds, test)
    return _with_cells(rows)


def rows_of_stored(run: Run) -> AuditRows:
    """Return the rows of a run, in its folds.

    Raises:
        InputError: tables that no longer hold the run's rows, or have problems now.
    """
    data = run.config.data
    try:
        table, folds = rows_of_run(run, read_labels(data, run.task, merge=False))
    except DataError as error:
        raise InputError(error.problems) from None
    test = read_unlabelled(data, run.task) if data.test else None
    return _with_cells(joined_rows(run.task, data, table, folds, test))


def joined_rows(
    task: Task, data: DataConfig, table: Table, folds: npt.NDArray[np.int64], test: Table | None
) -> AuditRows:
    """Return labelled rows, in their folds, and those to submit."""
    assert table.targets is not None
    further = 0 if test is None else len(test)
    ids = table.ids.tolist() + ([] if test is None else test.ids.tolist())
    return AuditRows(
        task,
        data,
        np.array(ids, dtype=np.str_),
        (*table.paths, *(() if test is None else test.paths)),
        np.arange(len(ids)) >= len(table),
        np.concatenate([folds, np.full(further, -1, dtype=np.int64)]),
        None if table.groups is None else _texts([*table.groups.tolist(), *([""] * further)]),
        _texts([*_labels(task, table), *([""] * further)]),
        table.targets,
        notes=(*table.notes, *task.label_warnings, *(() if test is None else test.notes)),
        is_extra=None if table.extra_weights is None else np.append(table.extra_weights > 0, np.zeros(further, bool)),
        cases=None if table.cases is None else _texts([*table.cases.tolist(), *([""] * further)]),
    )


def _with_cells(rows: AuditRows) -> AuditRows:
    """Return the rows with the other columns of their tables; of boxes, whose table is none of cells, without."""
    if rows.task.has_spatial_targets:
        return rows
    data = rows.data
    ids = rows.ids.tolist()
    labelled = _frame(data, rows.task, data.train, "train"), _frame(data, rows.task, data.valid, "valid")
    parts = [each for each in labelled if each is not None]
    submitted = _frame(data, rows.task, data.test, "test")
    names = [str(name) for part in parts[:1] for name in part.columns if not _is_used(str(name), data)]
    both = [*parts, *([] if submitted is None else [submitted])]
    cells = {name: pd.concat([part[name] for part in both if name in part]) for name in names}
    return replace(
        rows,
        cells={
            name: _texts(column[~column.index.duplicated()].reindex(ids).tolist()) for name, column in cells.items()
        },
        shared=frozenset(name for name in names if submitted is not None and name in submitted),
    )


def _frame(data: DataConfig, task: Task, path: Path | None, part: Part) -> pd.DataFrame | None:
    """Return a table by the canonical form of its ids; None where there is none, or it has no single column of ids."""
    if path is None:
        return None
    try:
        frame = read_rows(data, task, path, part).frame
    except DataError as error:
        raise InputError(error.problems) from None
    if not isinstance(data.id, str) or data.id not in frame:
        return None
    return frame.fillna("").astype(str).set_index(frame[data.image_column].fillna("").astype(str).map(canonical_text))


def _is_used(name: str, data: DataConfig) -> bool:
    """Whether a column is the id, the label, or what rows are split by."""
    for key in ("id", "target", "group", "case", "fold", "split"):
        given = getattr(data, key, None)
        patterns = given.get("columns", ()) if isinstance(given, Mapping) else given
        listed = [patterns] if isinstance(patterns, str) else list(patterns or ())
        if any(fnmatchcase(name, str(each)) for each in listed):
            return True
    return False


def _labels(task: Task, table: Table) -> list[str]:
    """Return the labels as in a submission; boxes are none."""
    assert table.targets is not None
    return [""] * len(table) if task.has_spatial_targets else label_texts(task, table.ids, table.targets)


def _texts(values: Sequence[str]) -> npt.NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
