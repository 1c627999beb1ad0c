"""Table of image names and targets, checked as a whole before any image is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import canonical_text, one_spelling, spelling_notes
from foldtune.errors import DataError
from foldtune.trainers.data.cases import fold_units, several_labels
from foldtune.trainers.data.given_folds import TEST, TO_ASSIGN, VALID, folds_of, splits_of
from foldtune.trainers.data.id_checks import MAX_TEXT_BYTES, empty_cells, id_problems, too_long_ids, unusable_ids
from foldtune.trainers.images.formats.dicom import unreadable_files
from foldtune.trainers.images.image_files import file_keys, rows_that_may_share
from foldtune.trainers.images.locate import ambiguous_images, locate, location_notes, missing_images, outside_images
from foldtune.wording import shortened, unknown

if TYPE_CHECKING:
    from foldtune.trainers.data.target_forms.label_text import LabelReading

_SHOWN = 5
_WHOLE = 150


class TableTask(Protocol):
    """The part of a task that a table uses: reading of the file and encoding of the targets."""

    def read_frame(self, path: Path) -> pd.DataFrame: ...

    def encode(self, frame: pd.DataFrame, source: Path) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Table:
    """N rows of a table.

    Attributes:
        ids: (N,) ids in their canonical form, which is as written where that is plain.
        targets: (N, ...) as the task encodes them; None where unlabelled.
        groups: (N,) groups, each of which belongs to one fold; None without groups.
        left_out: number of rows of the file that are not in the table, by reason.
        notes: what is spelled in several ways or doubtful, a line each.
        parts: (N,) given fold, or TRAIN_ONLY or TO_ASSIGN of `given_folds`; None where all folds are to be drawn.
        cases: (N,) names of cases; rows of a case lie in one fold and are judged and submitted as one. None without.
        extra_weights: (N,) factor of the loss of rows that only ever train, 0 for the others; None without such rows.
    """

    ids: npt.NDArray[np.str_]
    paths: tuple[Path, ...]
    targets: npt.NDArray[Any] | None = None
    groups: npt.NDArray[np.str_] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    parts: npt.NDArray[np.int64] | None = None
    cases: npt.NDArray[np.str_] | None = None
    extra_weights: npt.NDArray[np.float64] | None = None

    @property
    def judged_ids(self) -> npt.NDArray[np.str_]:
        """Names of what is judged and submitted: the cases in the order of their first rows, else the rows' ids."""
        if self.cases is None:
            return self.ids
        return self.cases[np.sort(np.unique(self.cases, return_index=True)[1])]

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, rows: npt.NDArray[Any] | Sequence[int]) -> Table:
        """Return the table of some rows, given as indices (in that order) or as a mask (N,)."""
        index = np.arange(len(self))[np.asarray(rows)]
        arrays = ((each.name, getattr(self, each.name)) for each in fields(self))
        chosen = {name: values[index] for name, values in arrays if isinstance(values, np.ndarray)}
        return replace(self, **chosen, paths=tuple(self.paths[row] for row in index))


@dataclass(frozen=True)
class TableLayout:
    """Where a table's rows find their images.

    Attributes:
        images: folder of relative image names.
        group_column: column of the groups; None without groups.
        confined: whether names must stay in `images`, which the user gave; else absolute ones and `..` may lead out.
        case_column: column of the cases; None where each row is judged.
        fold_column: column of given folds; None where they are drawn.
        split_column: column that marks rows as training, validation or test; None without one.
    """

    images: Path
    id_column: str = "image"
    group_column: str | None = None
    confined: bool = False
    fold_column: str | None = None
    case_column: str | None = None
    split_column: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns beside that of the labels."""
        wanted = (self.id_column, self.group_column, self.case_column, self.fold_column, self.split_column)
        return tuple(name for name in wanted if name is not None)

    @property
    def columns_of_test(self) -> tuple[str, ...]:
        """Columns that a table of rows to submit has, beside that of a split where it has one."""
        return tuple(name for name in (self.id_column, self.group_column, self.case_column) if name is not None)


def read_table(
    path: Path,
    layout: TableLayout,
    task: TableTask,
    *,
    labelled: bool = True,
    labels: LabelReading | None = None,
    frame: pd.DataFrame | None = None,
    merge: bool = True,
) -> Table:
    """Read and check a table.

    Args:
        labels: steps that bring labels to text, leave rows out and rename labels first; nothing of a row that is left
            out is checked.
        frame: content of the file, if it has been read before.
        merge: whether labelled rows of one file under several names become the first of them. A run that was started
            with each of them keeps them.

    Raises:
        DataError: every problem of file, columns, names, labels, groups, and missing images; one file with several
            labels or groups.
    """
    path, images = Path(path), Path(layout.images)
    id_column, group_column = layout.id_column, layout.group_column
    frame = task.read_frame(path) if frame is None else frame
    if frame.empty:
        raise DataError([f"{path}: holds no rows"])
    frame, left_out = rows_of_split(frame, layout.split_column, labelled=labelled)
    if frame.empty:
        raise DataError(
            [f"{path}: column '{layout.split_column}' leaves no row for {'training' if labelled else 'test'}"]
        )
    if labelled and labels is not None:
        frame, unlabelled = labels.apply(frame, path)
        left_out = {**left_out, **unlabelled}
    wanted = layout.columns if labelled else layout.columns_of_test
    problems = [f"{path}: {unknown('column', c, map(str, frame.columns))}" for c in wanted if c not in frame]
    targets = None
    if labelled:
        try:
            targets = task.encode(frame, source=path)
        except DataError as error:
            problems += error.problems
    ids: list[str] = []
    paths: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()
    if id_column in frame:
        ids = [canonical_text(str(name)) for name in frame[id_column].fillna("").to_numpy(dtype=object)]
        unusable = unusable_ids(frame[id_column], ids) + too_long_ids(frame[id_column], ids)
        problems += [f"{path}: {text}" for text in [*id_problems(frame[id_column], ids), *unusable]]
        if not unusable:
            located = locate(images, ids)
            paths = located.paths
            problems += missing_images(path, images, located.missing, sum(map(bool, ids)))
            problems += ambiguous_images(path, images, located.ambiguous)
            notes = location_notes(path, images, located)
            problems += [f"{path}: {text}" for text in unreadable_files(paths)]
            if layout.confined:
                problems += outside_images(path, images, ids, paths)
    for column in (group_column, layout.case_column):
        if column is not None and column in frame:
            problems += [f"{path}: {text}" for text in empty_cells(frame[column])]
    parts, found = _given_parts(frame, layout)
    problems += [f"{path}: {text}" for text in found]
    if problems:
        raise DataError(problems)
    groups = None
    if group_column is not None:
        written = [str(group) for group in frame[group_column]]
        groups = group_names(written)
        notes = (*notes, *spelling_notes(f"column '{group_column}'", dict.fromkeys(written)))
    table = Table(np.array(ids, dtype=np.str_), paths, targets, groups, left_out, notes, parts)
    if layout.case_column is not None:
        table = _with_cases(table, frame[layout.case_column], path)
    return _merge_files(table, path) if labelled and merge else table


def rows_of_split(
    frame: pd.DataFrame, column: str | None, *, labelled: bool = True
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows that a column of splits does not mark as test, and how many it does, by reason.

    Args:
        column: column of the splits; a frame without it is returned as it is.
        labelled: whether the rows are to be trained on; else those marked as test are returned.
    """
    if column is None or column not in frame:
        return frame, {}
    test = splits_of(frame[column])[0] == TEST
    rows = int(test.sum())
    kept = frame[~test if labelled else test].reset_index(drop=True)
    return kept, {f"{column} 'test'": rows} if labelled and rows else {}


def _given_parts(frame: pd.DataFrame, layout: TableLayout) -> tuple[npt.NDArray[np.int64] | None, list[str]]:
    """Return the part (N,) of each row, None where the frame gives none, and the problems of their column."""
    if layout.fold_column is not None and layout.fold_column in frame:
        return folds_of(frame[layout.fold_column])
    if layout.split_column is not None and layout.split_column in frame:
        splits, problems = splits_of(frame[layout.split_column])
        return (np.where(splits == VALID, 0, TO_ASSIGN) if (splits == VALID).any() else None), problems
    return None, []


def _with_cases(table: Table, column: pd.Series[Any], source: Path) -> Table:
    """Return the table with the case of each row, which is also what no fold may split. Raises DataError."""
    written = [str(case) for case in column]
    cases = group_names(written)
    if table.targets is None:
        return replace(table, cases=cases)
    if problems := several_labels(table.targets, cases):
        raise DataError([f"{source}: column '{column.name}': {text}" for text in problems])
    notes = spelling_notes(f"column '{column.name}'", dict.fromkeys(written))
    units = fold_units(table.groups, cases)
    number = len(set(cases.tolist()))
    counts = f"{len(cases)} images of {number} cases ('{column.name}'), which folds, figures and the submission count"
    return replace(table, cases=cases, groups=units, notes=tuple(dict.fromkeys([*table.notes, *notes, counts])))


def _merge_files(table: Table, source: Path) -> Table:
    """Return the table with one row a file. Raises DataError where rows of a file have other labels or groups."""
    first: dict[tuple[str, str], int] = {}
    again: list[int] = []
    problems: list[str] = []
    shared = rows_that_may_share(table.paths)
    for row, key in zip(shared, file_keys([table.paths[row] for row in shared]), strict=True):
        before = first.setdefault(key, row)
        if before == row:
            continue
        again.append(row)
        if differing := _differing(table, before, row):
            names = " and ".join(shortened(repr(str(table.ids[each]))) for each in (before, row))
            rows = f"data rows {before + 1} and {row + 1}"
            problems.append(f"{source}: {names} are one file with different {differing} ({rows})")
    if problems:
        more = [f"{source}: and {len(problems) - _SHOWN} more files like these"] if len(problems) > _SHOWN else []
        raise DataError(problems[:_SHOWN] + more)
    if not again:
        return table
    keep = np.ones(len(table), dtype=np.bool_)
    keep[again] = False
    merged = table.select(keep)
    return replace(merged, left_out={**table.left_out, "the file of an earlier row": len(again)})


def _differing(table: Table, one: int, other: int) -> str:
    """Return what two rows differ in, "" where they are alike."""
    assert table.targets is not None
    first, second = table.targets[one], table.targets[other]
    if not np.array_equal(first, second, equal_nan=np.asarray(first).dtype.kind == "f"):
        return "labels"
    if table.parts is not None and table.parts[one] != table.parts[other]:
        return "folds"
    return "groups" if table.groups is not None and table.groups[one] != table.groups[other] else ""


def group_names(written: Sequence[str]) -> npt.NDArray[np.str_]:
    """Return groups (N,) in one spelling each; very long ones, of which all would take the length, by a digest."""
    forms = one_spelling(dict.fromkeys(written))
    if max(map(len, forms.values()), default=0) * len(written) * 4 > MAX_TEXT_BYTES:
        forms = {text: form if len(form) <= _WHOLE else _digest(form) for text, form in forms.items()}
    return np.array([forms[text] for text in written], dtype=np.str_)


def _digest(text: str) -> str:
    return f"{text[:_WHOLE]}…{hashlib.sha256(text.encode()).hexdigest()}"
