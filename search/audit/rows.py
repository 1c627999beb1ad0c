"""Rows of an audit: those of the training table with their folds, then those to submit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError, InputError
from foldtune.search.assess.preview import label_texts
from foldtune.search.config.data_section import DataConfig
from foldtune.search.config.schema import RunConfig
from foldtune.search.runs.dataset import read_labelled, read_labels, read_unlabelled
from foldtune.search.runs.given_splits import split_rows, with_given_number
from foldtune.search.runs.run import Run, rows_of_run
from foldtune.trainers.data.table import Table
from foldtune.trainers.tasks import TASKS, Task
from foldtune.wording import unknown


@dataclass(frozen=True, eq=False)
class AuditRows:
    """N rows: T labelled ones, then those to submit.

    Attributes:
        data: where they come from.
        ids: (N,) ids.
        paths: N image files.
        is_test: (N,) whether a row is to be submitted.
        folds: (N,) fold of a labelled row, -1 for one that only trains, and for one to submit.
        groups: (N,) groups, "" for rows to submit; None without groups.
        labels: (N,) labels as text, "" for rows to submit.
        targets: (T, ...) as the task encodes them.
        notes: what is spelled in two ways, or doubtful for other reasons, a line each.
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
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def train(self) -> npt.NDArray[np.int64]:
        """Places of the labelled rows."""
        return np.flatnonzero(~self.is_test)

    @property
    def test(self) -> npt.NDArray[np.int64]:
        """Places of the rows to submit."""
        return np.flatnonzero(self.is_test)


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
    return _joined(task, config.data, replace(table, notes=(*table.notes, *notes)), folds, test)


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
    return _joined(run.task, data, table, folds, test)


def _joined(task: Task, data: DataConfig, table: Table, folds: npt.NDArray[np.int64], test: Table | None) -> AuditRows:
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
        (*table.notes, *task.label_warnings, *(() if test is None else test.notes)),
    )


def _labels(task: Task, table: Table) -> list[str]:
    """Return the labels as in a submission; boxes are none."""
    assert table.targets is not None
    return [""] * len(table) if task.has_spatial_targets else label_texts(task, table.ids, table.targets)


def _texts(values: Sequence[str]) -> npt.NDArray[np.object_]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
