"""Table of image names and targets, checked as a whole before any image is decoded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import canonical_text, one_spelling, spelling_notes
from foldtune.errors import DataError, did_you_mean, did_you_mean_file, shortened, unknown
from foldtune.paths import outside_names
from foldtune.trainers.data.labels import LabelRules
from foldtune.trainers.images.image_files import beside_missing, file_keys, listed_as

_SHOWN = 5
_MAX_ID = 4096
"""Characters of an image's name: no file system takes a longer path."""
_MAX_PART = 255
"""Bytes of a file's or folder's name."""
_MAX_TEXT_BYTES = 1 << 28
"""Memory of a column of names or groups; of more, long names are refused, long groups named by a digest."""
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
    frame = _read(path, task) if frame is None else frame
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
        unusable = _unusable_ids(frame[id_column], ids) + _too_long_ids(frame[id_column], ids)
        problems += [f"{path}: {text}" for text in [*_id_problems(frame[id_column], ids), *unusable]]
        if not unusable:
            paths, missing = locate(images, ids)
            problems += _missing_images(path, images, missing, sum(map(bool, ids)))
            problems += _outside_images(path, layout, [name for name in ids if name])
    if group_column is not None and group_column in frame:
        problems += [f"{path}: {text}" for text in _empty_cells(frame[group_column])]
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
    if max(map(len, forms.values()), default=0) * len(written) * 4 > _MAX_TEXT_BYTES:
        forms = {text: form if len(form) <= _WHOLE else _digest(form) for text, form in forms.items()}
    return np.array([forms[text] for text in written], dtype=np.str_)


def _digest(text: str) -> str:
    return f"{text[:_WHOLE]}…{hashlib.sha256(text.encode()).hexdigest()}"


def _read(path: Path, task: TableTask) -> pd.DataFrame:
    if not path.is_file():
        raise DataError([_no_file(path)])
    try:
        return task.read_frame(path)
    except (ValueError, OSError) as error:  # pandas' parser and decoding errors are ValueErrors
        reason = shortened(" ".join(str(error).split()), 200)
        raise DataError([f"{path}: cannot be read as a table ({reason})"]) from error


def _no_file(path: Path) -> str:
    if path.is_dir():
        return f"{path}: is a folder, a table is expected"
    if not path.parent.is_dir():
        return f"{path}: no such file; the folder {path.parent} does not exist"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    return f"{path}: no such file{did_you_mean_file(path.name, names)}"


def _empty_cells(column: pd.Series[Any]) -> list[str]:
    blank = [not canonical_text(str(cell)) for cell in column]
    empty = np.flatnonzero(column.isna().to_numpy(dtype=bool) | np.array(blank, dtype=bool))
    if not len(empty):
        return []
    return [f"column '{column.name}' is empty in {len(empty)} rows (data rows {_first(empty + 1)})"]


def _id_problems(column: pd.Series[Any], ids: Sequence[str]) -> list[str]:
    problems = _empty_cells(column)
    names = pd.Series(ids, dtype=object)
    repeated = names[names.duplicated() & (names != "")].unique()
    if len(repeated):
        problems.append(f"column '{column.name}' has {len(repeated)} names more than once ({_first(repeated)})")
    return problems


def _unusable_ids(column: pd.Series[Any], ids: Sequence[str]) -> list[str]:
    """Problems of names that are no file's on any machine."""
    strange = [row for row, name in enumerate(ids) if name and not _is_file_name(name)]
    if not strange:
        return []
    shown = _first([shortened(repr(ids[row])) for row in strange])
    return [f"column '{column.name}' has {len(strange)} names that no file has ({shown}; data row {strange[0] + 1})"]


def _too_long_ids(column: pd.Series[Any], ids: Sequence[str]) -> list[str]:
    """Problem of a name so long that the array of all names, each of which takes its length, has no bound."""
    lengths = [len(name) for name in ids]
    longest = max(lengths, default=0)
    if longest <= _MAX_PART or longest * len(ids) * 4 <= _MAX_TEXT_BYTES:
        return []
    row = lengths.index(longest)
    shown = shortened(repr(ids[row]))
    most = max(_MAX_PART, _MAX_TEXT_BYTES // 4 // len(ids))
    return [
        f"column '{column.name}': a name of {longest:,} characters among {len(ids):,} rows ({shown}; data row "
        f"{row + 1}); names of a table of this size may have {most:,}"
    ]


def _is_file_name(name: str) -> bool:
    if len(name) > _MAX_ID or "\0" in name or Path(name).name in ("", ".."):
        return False
    try:
        return max(len(part.encode()) for part in Path(name).parts) <= _MAX_PART
    except UnicodeEncodeError:
        return False


def locate(images: Path, ids: Sequence[str]) -> tuple[tuple[Path, ...], list[Path]]:
    """Return the file of each name, and those that do not exist; a name is compared in its canonical form."""
    paths = [images / name for name in ids]
    folders = {folder: _files_of(folder) for folder in {path.parent for path in paths}}
    absent = [row for row, path in enumerate(paths) if path.name not in folders[path.parent]]
    named = {folder: listed_as(folders[folder]) for folder in {paths[row].parent for row in absent}}
    missing: list[Path] = []
    for row in absent:
        path = paths[row]
        if (actual := named[path.parent].get(path.name)) is not None:
            paths[row] = path.with_name(actual)
        elif ids[row]:
            missing.append(path)
    return tuple(paths), missing


def _missing_images(table: Path, images: Path, missing: Sequence[Path], total: int) -> list[str]:
    if not missing:
        return []
    shown = _first([shortened(str(path), 200) for path in missing])
    hint = _missing_hint(images, missing)
    return [f"{table}: {len(missing)} of {total} images do not exist ({shown}){hint}"]


def _outside_images(table: Path, layout: TableLayout, names: Sequence[str]) -> list[str]:
    if not layout.confined:
        return []
    outside = outside_names(names, Path(layout.images))
    if not outside:
        return []
    return [
        f"{table}: {len(outside)} of {len(names)} images lie outside of {layout.images} ({_first(outside)}); "
        "set data.images to a folder that holds all of them, or leave it out"
    ]


def _files_of(folder: Path) -> frozenset[str]:
    """Return the file names of a folder: one listing is far faster than a stat an image, above all on network disks."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()


def _missing_hint(images: Path, missing: Sequence[Path]) -> str:
    if not images.is_dir():
        beside = [p.name for p in images.parent.iterdir() if p.is_dir()] if images.parent.is_dir() else []
        return f"; the folder {images} does not exist{did_you_mean(images.name, sorted(beside))}"
    hint = beside_missing(images, missing)
    return hint or did_you_mean_file(missing[0].name, sorted(_files_of(images))) or f"; looked in {images}"


def _first(values: Sequence[Any] | npt.NDArray[Any]) -> str:
    shown = ", ".join(shortened(str(value), 200) for value in values[:_SHOWN])
    return shown + (", …" if len(values) > _SHOWN else "")
