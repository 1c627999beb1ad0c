"""Table of image names and targets, checked as a whole before any image is decoded."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import DataError, did_you_mean, unknown
from foldtune.trainers.data.labels import LabelRules

_SHOWN = 5
_SUFFIXES = (".jpg", ".jpeg", ".png", ".JPG", ".tif", ".tiff", ".bmp", ".webp")


class TableTask(Protocol):
    """The part of a task that a table uses: reading of the file and encoding of the targets."""

    def read_frame(self, path: Path) -> pd.DataFrame: ...

    def encode(self, frame: pd.DataFrame, source: Path) -> npt.NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class Table:
    """N rows of a table.

    Attributes:
        ids: (N,) ids as written in the file.
        paths: N image files.
        targets: (N, ...) as the task encodes them; None where unlabelled.
        groups: (N,) groups, each of which belongs to one fold; None without groups.
        left_out: number of rows of the file that are not in the table, by reason.
    """

    ids: npt.NDArray[np.str_]
    paths: tuple[Path, ...]
    targets: npt.NDArray[Any] | None = None
    groups: npt.NDArray[np.str_] | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)

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
        )


@dataclass(frozen=True)
class TableLayout:
    """Where a table's rows find their images.

    Attributes:
        images: folder of relative image names.
        id_column: column of the image names.
        group_column: column of the groups; None without groups.
    """

    images: Path
    id_column: str = "image"
    group_column: str | None = None


def read_table(
    path: Path,
    layout: TableLayout,
    task: TableTask,
    *,
    labelled: bool = True,
    labels: LabelRules | None = None,
    frame: pd.DataFrame | None = None,
) -> Table:
    """Read and check a table.

    Args:
        path: file of the table.
        layout: columns, and the folder of images.
        task: reader of the file and encoder of the targets.
        labelled: whether the rows have targets.
        labels: rules that leave rows out and rename labels first; nothing of a row that is left out is checked.
        frame: content of the file, if it has been read before.

    Raises:
        DataError: every problem of file, columns, names, labels, groups, and missing images.
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
    paths: tuple[Path, ...] = ()
    if id_column in frame:
        problems += [f"{path}: {text}" for text in _id_problems(frame[id_column])]
        paths = tuple(images / name for name in frame[id_column].fillna("").astype(str))
        problems += _missing_images(path, images, [p for p in paths if p != images])
    if group_column is not None and group_column in frame:
        problems += [f"{path}: {text}" for text in _empty_cells(frame[group_column])]
    if problems:
        raise DataError(problems)
    groups = None if group_column is None else frame[group_column].astype(str).to_numpy(dtype=np.str_)
    return Table(frame[id_column].astype(str).to_numpy(dtype=np.str_), paths, targets, groups, left_out)


def _read(path: Path, task: TableTask) -> pd.DataFrame:
    if not path.is_file():
        raise DataError([_no_file(path)])
    try:
        return task.read_frame(path)
    except (ValueError, OSError) as error:  # pandas' parser and decoding errors are ValueErrors
        reason = " ".join(str(error).split())
        raise DataError([f"{path}: cannot be read as a table ({reason})"]) from error


def _no_file(path: Path) -> str:
    if path.is_dir():
        return f"{path}: is a folder, a table is expected"
    if not path.parent.is_dir():
        return f"{path}: no such file; the folder {path.parent} does not exist"
    names = sorted(entry.name for entry in path.parent.iterdir() if entry.is_file())
    return f"{path}: no such file{did_you_mean(path.name, names)}"


def _empty_cells(column: pd.Series[Any]) -> list[str]:
    empty = np.flatnonzero(column.isna() | (column.astype(str).str.strip() == ""))
    if not len(empty):
        return []
    return [f"column '{column.name}' is empty in {len(empty)} rows (data rows {_first(empty + 1)})"]


def _id_problems(column: pd.Series[Any]) -> list[str]:
    problems = _empty_cells(column)
    repeated = column[column.duplicated() & column.notna()].unique()
    if len(repeated):
        problems.append(f"column '{column.name}' has {len(repeated)} names more than once ({_first(repeated)})")
    return problems


def _missing_images(table: Path, images: Path, paths: Sequence[Path]) -> list[str]:
    folders = {folder: _files_of(folder) for folder in {path.parent for path in paths}}
    missing = [path for path in paths if path.name not in folders[path.parent]]
    if not missing:
        return []
    hint = _missing_hint(images, missing[0])
    shown = _first([str(path) for path in missing])
    return [f"{table}: {len(missing)} of {len(paths)} images do not exist ({shown}){hint}"]


def _files_of(folder: Path) -> frozenset[str]:
    """Return the file names of a folder: one listing is far faster than a stat an image, above all on network disks."""
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()


def _missing_hint(images: Path, missing: Path) -> str:
    if not images.is_dir():
        beside = [p.name for p in images.parent.iterdir() if p.is_dir()] if images.parent.is_dir() else []
        return f"; the folder {images} does not exist{did_you_mean(images.name, sorted(beside))}"
    for suffix in _SUFFIXES:
        if missing.with_name(missing.name + suffix).is_file():
            return f"; {missing.name}{suffix} exists: write the names with their extension"
    for folder in [images.parent, *sorted(p for p in images.iterdir() if p.is_dir())]:
        if (folder / missing.name).is_file():
            return f"; {folder / missing.name} exists: set data.images to {folder}"
    return did_you_mean(missing.name, sorted(_files_of(images))) or f"; looked in {images}"


def _first(values: Sequence[Any] | npt.NDArray[Any]) -> str:
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return shown + (", …" if len(values) > _SHOWN else "")
