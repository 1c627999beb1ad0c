"""Table of image names and targets, checked as a whole before any image is decoded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import canonical_text, one_spelling, spelling_notes
from foldtune.errors import DataError
from foldtune.trainers.data.id_checks import MAX_TEXT_BYTES, empty_cells, id_problems, too_long_ids, unusable_ids
from foldtune.trainers.data.labels import LabelRules
from foldtune.trainers.images.image_files import file_keys
from foldtune.trainers.images.locate import locate, missing_images, outside_images
from foldtune.wording import shortened, unknown

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
        paths: N image files.
        targets: (N, ...) as the task encodes them; None where unlabelled.
        groups: (N,) groups, each of which belongs to one fold; None without groups.
        left_out: number of rows of the file that are not in the table, by reason.
        notes: what is spelled in several ways or doubtful, a line each.
    """

    ids: npt.NDArray[np.str_]
    paths: tuple[Path, ...]
    targets: npt.NDArray[Any] | None = None
    groups: npt.NDArray[np.str_] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, rows: npt.NDArray[Any] | Sequence[int]) -> Table:
        """Return the table of some rows, given as indices (in that order) or as a mask (N,)."""
        index = np.arange(len(self))[np.asarray(rows)]
        return Table(
            ids=self.ids[index],
            paths=tuple(self.paths[row] for row in index),
            targets=None if self.targets is None else self.targets[index],
            groups=None if self.groups is None else self.groups[index],
            left_out=self.left_out,
            notes=self.notes,
        )


@dataclass(frozen=True)
class TableLayout:
    """Where a table's rows find their images.

    Attributes:
        images: folder of relative image names.
        id_column: column of the image names.
        group_column: column of the groups; None without groups.
        confined: whether names must stay in `images`, which the user gave; else absolute ones and `..` may lead out.
    """

    images: Path
    id_column: str = "image"
    group_column: str | None = None
    confined: bool = False


def read_table(
    path: Path,
    layout: TableLayout,
    task: TableTask,
    *,
    labelled: bool = True,
    labels: LabelRules | None = None,
    frame: pd.DataFrame | None = None,
    merge: bool = True,
) -> Table:
    """Read and check a table.

    Args:
        path: file of the table.
        layout: columns, and the folder of images.
        task: reader of the file and encoder of the targets.
        labelled: whether the rows have targets.
        labels: rules that leave rows out and rename labels first; nothing of a row that is left out is checked.
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
    left_out: Mapping[str, int] = {}
    if labelled and labels is not None:
        frame, left_out = labels.apply(frame, path)
    wanted = [id_column] if group_column is None else [id_column, group_column]
    problems = [f"{path}: {unknown('column', c, map(str, frame.columns))}" for c in wanted if c not in frame]
    targets = None
    if labelled:
        try:
            targets = task.encode(frame, source=path)
        except DataError as error:
            problems += error.problems
    ids: list[str] = []
    paths: tuple[Path, ...] = ()
    if id_column in frame:
        ids = [canonical_text(str(name)) for name in frame[id_column].fillna("")]
        unusable = unusable_ids(frame[id_column], ids) + too_long_ids(frame[id_column], ids)
        problems += [f"{path}: {text}" for text in [*id_problems(frame[id_column], ids), *unusable]]
        if not unusable:
            paths, missing = locate(images, ids)
            problems += missing_images(path, images, missing, sum(map(bool, ids)))
            if layout.confined:
                problems += outside_images(path, images, [name for name in ids if name])
    if group_column is not None and group_column in frame:
        problems += [f"{path}: {text}" for text in empty_cells(frame[group_column])]
    if problems:
        raise DataError(problems)
    notes: tuple[str, ...] = ()
    groups = None
    if group_column is not None:
        written = [str(group) for group in frame[group_column]]
        groups = _groups(written)
        notes = spelling_notes(f"column '{group_column}'", dict.fromkeys(written))
    table = Table(np.array(ids, dtype=np.str_), paths, targets, groups, left_out, notes)
    return _merge_files(table, path) if labelled and merge else table


def _merge_files(table: Table, source: Path) -> Table:
    """Return the table with one row a file. Raises DataError where rows of a file have other labels or groups."""
    first: dict[tuple[str, str], int] = {}
    again: list[int] = []
    problems: list[str] = []
    for row, key in enumerate(file_keys(table.paths)):
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
    return "groups" if table.groups is not None and table.groups[one] != table.groups[other] else ""


def _groups(written: Sequence[str]) -> npt.NDArray[np.str_]:
    """Return groups (N,) in one spelling each; very long ones, of which all would take the length, by a digest."""
    forms = one_spelling(dict.fromkeys(written))
    if max(map(len, forms.values()), default=0) * len(written) * 4 > MAX_TEXT_BYTES:
        forms = {text: form if len(form) <= _WHOLE else _digest(form) for text, form in forms.items()}
    return np.array([forms[text] for text in written], dtype=np.str_)


def _digest(text: str) -> str:
    return f"{text[:_WHOLE]}…{hashlib.sha256(text.encode()).hexdigest()}"
