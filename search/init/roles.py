"""Which of several tables holds the training rows, which the rows to submit, which the form of a submission."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldtune.errors import InputError
from foldtune.ids import match_ids
from foldtune.search.init.columns import LABEL_NAMES
from foldtune.search.init.findings import Finding, Stated, Undecided
from foldtune.search.init.inventory import Inventory
from foldtune.search.init.tables import TableFound
from foldtune.trainers.images.image_files import without_zeros
from foldtune.wording import first_few

_TRAIN = re.compile(r"train|label|ground.?truth|data.?entry", re.IGNORECASE)
_VALID = re.compile(r"(^|[_ .-])(valid|val|validation|dev)", re.IGNORECASE)
_TEST = re.compile(r"(^|[_ .-])test", re.IGNORECASE)
_SAMPLE = re.compile(r"sample|submission", re.IGNORECASE)


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
    others = [table for table in rest if not (_TEST.search(_stem(table)) or _VALID.search(_stem(table)))]
    train = _stated(by_path, stated.train) or _training(others or rest)
    if valid is not None and stated.valid is None and _is_selection(valid, train):
        valid = None
    if test is None:
        test = _first([t for t in rest if t is not train], lambda t: bool(t.ids) and _lacks_labels(t, train))
    fault = ""
    why = f"{len(train.frame):,} rows" if train.brings_target else train.described
    findings = [Finding("data.train", train.path, why)]
    if valid is not None:
        findings.append(Finding("data.valid", valid.path, f"{len(valid.frame):,} rows of a validation part"))
    if test is None and train.has_test:
        findings.append(Finding("data.test", train.path, "the part to submit of the same file"))
    elif test is None and sample is not None and not (fault := _no_rows_to_submit(sample, train, stated.id)):
        test = sample
        findings.append(Finding("data.test", sample.path, "the rows to submit are those of the sample submission"))
    elif test is not None:
        findings.append(Finding("data.test", test.path, f"{len(test.frame):,} rows to submit"))
    if fault and sample is not None:
        if stated.sample is not None:
            raise Undecided(f"{sample.path.name}: {fault}", "--test FILE, which names the rows to submit")
        skipped = [*skipped, f"not used: {sample.path.name}: {fault}; --test FILE names the rows to submit"]
    elif sample is not None:
        why, is_stated = "the form of a submission", stated.sample is not None
        findings.append(Finding("data.sample_submission", sample.path, why, is_stated))
    used = {id(each) for each in (train, valid, test, sample)}
    unused = [_unused(table, train) for table in tables if id(table) not in used]
    return Roles(train, valid, test, sample, tuple(findings), (*skipped, *unused))


def _is_selection(table: TableFound, train: TableFound) -> bool:
    """Whether all pictures of a table are training rows: whatever it is called, it is no validation part."""
    if not (table.ids and table.path.is_file() and train.path.is_file()):
        return False  # folders hold pictures of their own, which may have the same names
    return len(match_ids(table.pictures, train.pictures)) == len(table.pictures)


def _no_rows_to_submit(sample: TableFound, train: TableFound, stated: Sequence[str]) -> str:
    """Return why a sample submission cannot be the table of the rows to submit, too; "" where it can."""
    if not sample.ids:
        return "none of its columns names pictures that were found"
    ids = stated or train.ids
    lacking = [name for name in ids if name not in sample.frame]
    where = f"in column {sample.ids[0]!r}, and those of {train.path.name} in {first_few(ids)!r}"
    return f"its pictures are named {where}" if lacking else ""


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
    by_column = [table for table in named if any(map(LABEL_NAMES.search, table.beside_ids))]
    both = [table for table in by_name if table in by_column]
    likely = both or by_name or by_column or [table for table in named if table.beside_ids]
    torn = by_name and by_column and not both
    if len(likely) == 1 and not torn:
        return likely[0]
    several = named if torn or not likely else likely
    choices = [f"{os.path.relpath(table.path)} ({table.described})" for table in several]
    raise Undecided("several tables may hold the training rows", "--train FILE", choices)


def _unused(table: TableFound, train: TableFound) -> str:
    """Return the line on a table that has no role, with what it is good for."""
    line = f"not used: {table.path.name}"
    if not table.ids or table.has_boxes or train.has_boxes or train.brings_target:
        return line
    shared = len(match_ids(table.pictures, train.pictures))
    more = [name for name in table.beside_ids if name not in train.frame]
    if shared and not more:
        return f"{line}: {shared:,} of its pictures are training rows of {train.path.name}, too"
    if shared:
        of_rows = f"it has {first_few(more)} of {shared:,} of the pictures of {train.path.name}"
        return f"{line}: {of_rows}; joined to these rows by {table.ids[0]!r} they can be data.group or data.columns"
    if not shared and set(train.frame.columns) == set(table.frame.columns):
        of_rows = f"it has the same columns of {len(table.pictures):,} other pictures"
        return f"{line}: {of_rows}; join the rows into one table, or name it by data.extra, which is trained on alone"
    return line


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
        cell = str(next(iter(train.frame[ids[0]].dropna()), ""))
        hint = zeros_hint(inventory, cell) or ("" if stated.images else "; name the folder of the pictures, too")
        raise InputError(f"{train.path}: no picture {cell!r} below {stated.images or root}{hint}")
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


def zeros_hint(inventory: Inventory, cell: str) -> str:
    """Return the end of a message on a number whose picture has zeros before it; "" where there is none."""
    return without_zeros(Path(cell), [name for names in inventory.pictures.values() for name in names])


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
