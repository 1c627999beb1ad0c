"""Which of several tables holds the training rows, which the rows to submit, which the form of a submission."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from foldtune.errors import FoldtuneError, InputError
from foldtune.search.init.columns import id_columns
from foldtune.search.init.findings import Finding, Stated, Undecided
from foldtune.search.init.inventory import Inventory
from foldtune.trainers.data.readers import ReadOptions, find_reader, read_source

if TYPE_CHECKING:
    from foldtune.trainers.tasks import Task

_TRAIN = re.compile(r"train|labell?ed|ground.?truth|data.?entry", re.IGNORECASE)
_VALID = re.compile(r"(^|[_ .-])(valid|val|validation|dev)", re.IGNORECASE)
_TEST = re.compile(r"(^|[_ .-])test", re.IGNORECASE)
_SAMPLE = re.compile(r"sample|submission", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class TableFound:
    """A table that was read.

    Attributes:
        ids: columns of picture names.
        brings_target: whether the container itself knows the labels, as class folders do.
        split: column of the container's own split.
        images: folder of the container's own pictures; None where they lie elsewhere.
        has_test: whether the container has rows to submit, too.
    """

    path: Path
    frame: pd.DataFrame
    ids: tuple[str, ...]
    form: str = "csv"
    brings_target: bool = False
    split: str | None = None
    images: Path | None = None
    has_test: bool = False

    @property
    def has_boxes(self) -> bool:
        """Whether the rows have boxes of text."""
        return "boxes" in self.frame and any(isinstance(cell, list) for cell in self.frame["boxes"])


@dataclass(frozen=True, eq=False)
class Roles:
    """The tables by what they are for, and why.

    Attributes:
        skipped: a line on each table that is of no use, or could not be read.
    """

    train: TableFound
    valid: TableFound | None = None
    test: TableFound | None = None
    sample: TableFound | None = None
    findings: tuple[Finding, ...] = ()
    skipped: tuple[str, ...] = ()


def read_tables(
    inventory: Inventory, paths: Sequence[Path], encoding: str | None = None
) -> tuple[list[TableFound], list[str]]:
    """Return the tables that can be read, and a line on each of the others."""
    found: list[TableFound] = []
    skipped: list[str] = []
    for path in paths:
        try:
            found.append(read_table(path, inventory, encoding))
        except FoldtuneError as error:
            skipped.append(f"not read: {str(error).splitlines()[0]}")
    return found, skipped


def read_table(path: Path, inventory: Inventory, encoding: str | None = None) -> TableFound:
    """Read one table, of boxes too; raises DataError."""
    from foldtune.trainers.tasks import TASKS  # imports the trainer, which a folder without tables does not need

    if path.suffix.lower() == ".json" or path.is_dir():
        boxes = _boxes(TASKS["text_detection"], path)
        if boxes is not None:
            return TableFound(path, boxes, ("image",), "boxes", brings_target=True)
    reader = find_reader(path)
    source = read_source(path, ReadOptions(encoding=encoding))
    if not len(source.frame):
        raise InputError(f"{path}: has no rows")
    brings_target = reader is not None and reader.own_target is not None
    ids = (source.id_column,) if source.id_column else id_columns(source.frame, inventory)
    own = source.images if reader is not None and path.is_file() else None
    has_test = source.form == "npz" and _has_test(path, source.frame[ids[0]])
    return TableFound(path, source.frame, ids, source.form, brings_target, source.split_column, own, has_test)


def _boxes(task: type[Task], path: Path) -> pd.DataFrame | None:
    try:
        frame = task.read_source(path, ReadOptions(target_column="boxes")).frame
    except FoldtuneError:
        return None
    return frame if "boxes" in frame else None


def _has_test(path: Path, ids: pd.Series[str]) -> bool:
    """Whether a file of arrays has a part to submit beside the training part, after which its rows are named."""
    try:
        return ids.iloc[0].startswith("train/") and len(read_source(path, ReadOptions(part="test")).frame) > 0
    except FoldtuneError:
        return False


def find_roles(tables: Sequence[TableFound], stated: Stated, skipped: Sequence[str]) -> Roles:
    """Return what each table is for.

    Raises:
        Undecided: no table of training rows, or several.
    """
    by_path = {table.path: table for table in tables}
    sample = _stated(by_path, stated.sample) or _first(tables, lambda t: bool(_SAMPLE.search(t.path.name)))
    rest = [table for table in tables if table is not sample]
    valid = _stated(by_path, stated.valid) or _first(rest, lambda t: bool(_VALID.search(_stem(t))))
    test = _stated(by_path, stated.test) or _first(rest, lambda t: bool(_TEST.search(_stem(t))) and bool(t.ids))
    rest = [table for table in rest if table not in (valid, test)]
    train = _stated(by_path, stated.train) or _training(rest)
    if test is None:
        test = _first([t for t in rest if t is not train], lambda t: bool(t.ids) and _lacks_labels(t, train))
    findings = [Finding("data.train", train.path, f"{len(train.frame):,} rows")]
    if valid is not None:
        findings.append(Finding("data.valid", valid.path, f"{len(valid.frame):,} rows of a validation part"))
    if test is None and train.has_test:
        findings.append(Finding("data.test", train.path, "the part to submit of the same file"))
    elif test is None and sample is not None and sample.ids:
        test = sample
        findings.append(Finding("data.test", sample.path, "the rows to submit are those of the sample submission"))
    elif test is not None:
        findings.append(Finding("data.test", test.path, f"{len(test.frame):,} rows to submit"))
    if sample is not None:
        findings.append(Finding("data.sample_submission", sample.path, "the form of a submission"))
    used = {id(each) for each in (train, valid, test, sample)}
    unused = [f"not used: {table.path.name}" for table in tables if id(table) not in used]
    return Roles(train, valid, test, sample, tuple(findings), (*skipped, *unused))


def _stem(table: TableFound) -> str:
    return table.path.name.partition(".")[0]


def _stated(tables: dict[Path, TableFound], path: Path | None) -> TableFound | None:
    if path is None:
        return None
    if (found := tables.get(path.resolve())) is None:
        raise InputError(f"{path}: is none of the tables that were read: {', '.join(p.name for p in tables) or 'none'}")
    return found


def _first(tables: Sequence[TableFound], condition: Callable[[TableFound], bool]) -> TableFound | None:
    return next((table for table in tables if condition(table)), None)


def _training(tables: Sequence[TableFound]) -> TableFound:
    named = [table for table in tables if table.ids] or list(tables)
    if not named:
        raise Undecided("no table of training rows was found", "--train FILE, or a folder with one folder a class")
    if len(named) == 1:
        return named[0]
    by_name = [table for table in named if _TRAIN.search(_stem(table))]
    labelled = by_name or [table for table in named if len(table.frame.columns) > len(table.ids)]
    if len(labelled) == 1:
        return labelled[0]
    choices = [os.path.relpath(table.path) for table in labelled or named]
    raise Undecided("several tables may hold the training rows", "--train FILE", choices)


def _lacks_labels(table: TableFound, train: TableFound) -> bool:
    """Whether a table's columns are among the training rows', fewer, and its pictures others."""
    fewer = set(table.frame.columns) < set(train.frame.columns)
    if not fewer or not train.ids:
        return False
    return not set(table.frame[table.ids[0]].dropna()) & set(train.frame[train.ids[0]].dropna())


def picture_findings(
    inventory: Inventory, roles: Roles, ids: Sequence[str], stated: Stated
) -> tuple[list[Path], list[Finding]]:
    """Return the training rows' picture files, and the folders that the configuration names.

    Raises:
        InputError: not one picture of the training rows was found.
    """
    train, root = roles.train, inventory.root
    if train.brings_target and not train.has_boxes and train.path.is_dir():
        inside = [f / name for f, names in inventory.pictures.items() if f.is_relative_to(train.path) for name in names]
        return inside, []
    if train.images is not None:
        return [train.images / str(cell) for cell in train.frame[ids[0]].dropna()], []
    found = _found(inventory, train.frame, ids)
    if not found:
        cell = next(iter(train.frame[ids[0]].dropna()), "")
        raise InputError(f"{train.path}: no picture {cell!r} below {root}; name the folder of the pictures, too")
    folder = stated.images.resolve() if stated.images else _common(found, train.frame, ids)
    folders = len({path.parent for path in found})
    why = f"{len(found):,} pictures" + (f" in {folders} folders" if folders > 1 else "")
    findings = [Finding("data.images", os.path.relpath(folder, root), why)]
    if roles.test is not None and roles.test.ids:
        others = _found(inventory, roles.test.frame, roles.test.ids)
        place = _common(others, roles.test.frame, roles.test.ids) if others else folder
        if not place.is_relative_to(folder):
            why = f"{len(others):,} pictures to submit"
            findings.append(Finding("data.test_images", os.path.relpath(place, root), why))
    return found, findings


def _found(inventory: Inventory, frame: pd.DataFrame, ids: Sequence[str]) -> list[Path]:
    files = (inventory.files_of(str(cell)) for column in ids for cell in frame[column].dropna())
    return [found[0] for found in files if found]


def _common(files: Sequence[Path], frame: pd.DataFrame, ids: Sequence[str]) -> Path:
    """Return the folder to which the cells are relative: that of the pictures, less the folders that cells name."""
    folder = Path(os.path.commonpath([path.parent for path in files]))
    inside = Path(str(next(iter(frame[ids[0]].dropna()))).strip().replace("\\", "/")).parent
    if inside.is_absolute() or inside == Path("."):
        return folder
    parts = files[0].parent.parts
    own = inside.parts
    return Path(*parts[: -len(own)]) if parts[-len(own) :] == own else folder
