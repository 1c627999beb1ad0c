"""What a reader of rows is given and returns: cells as text, the names of the parts of a split."""

from __future__ import annotations

import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from foldtune.csv_files import MAX_CELL, MAX_CELLS, MAX_COLUMNS
from foldtune.errors import DataError
from foldtune.wording import shortened


def cell_text(value: Any) -> str | None:
    """Return a value as text: lists and mappings as JSON, None for what is missing or empty.

    >>> [cell_text(value) for value in (7, 7.5, True, "", None, float("nan"), ["a", "b"])]
    ['7', '7.5', 'True', None, None, None, '["a", "b"]']
    """
    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, list | tuple | Mapping | np.ndarray):
        return json.dumps(value, ensure_ascii=False, default=_plain)
    return str(value) or None


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def text_column(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return a column as text, one object a distinct value where values repeat; missing cells stay missing."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
        return column.astype(str).astype("str").where(column.notna())
    return pd.Series([cell_text(value) for value in column], index=column.index, dtype="str")


def text_frame(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table of typed columns as a table of text.

    Raises:
        DataError: more columns, cells or characters of a cell than a table may have.
    """
    for name, number, most in (("columns", len(frame.columns), MAX_COLUMNS), ("cells", frame.size, MAX_CELLS)):
        if number > most:
            raise DataError([f"{path}: has {number:,} {name}; a table may have {most:,}"])
    texts = pd.DataFrame({str(name): text_column(frame[name]) for name in frame.columns}, index=frame.index)
    for label, column in texts.items():
        longest = column.str.len().max()
        if longest > MAX_CELL:
            where = f"column '{shortened(str(label))}'"
            raise DataError([f"{path}: {where}: a cell of {int(longest):,} characters; a cell may have {MAX_CELL:,}"])
    return texts.reset_index(drop=True)


Part = Literal["train", "valid", "test"]
"""Rows that are wanted of a container with a split of its own: those to train with, to validate on, or to submit."""


@dataclass(frozen=True)
class ReadOptions:
    """What a reader has to know beside the path.

    Attributes:
        id_column: name of the column of images; containers without column names use it.
        target_column: name of the column of labels; containers without column names use it.
        part: rows that are wanted. Of "train", a container with a validation part gives both, with a split column.
        encoding: encoding of texts; None for UTF-8, or that of a byte order mark.
        unpacked: folder below which pixels of arrays and tables are written as files, once.
    """

    id_column: str = "image"
    target_column: str = "label"
    part: Part = "train"
    encoding: str | None = None
    unpacked: Path | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """Rows of a container, and what the container itself knows of them.

    Attributes:
        frame: one row an image (or case); cells are text, only an empty cell is missing ("NA" may be a class). Boxes
            of text detection are lists.
        form: name of the form, in which submissions may go back out: "csv", "parquet", "class folders", …
        images: folder of the rows' images; None where the configuration names it.
        id_column: the container's own column of images, None where the configuration names it.
        target_column: the container's own column of labels, None where the configuration names it.
        split_column: column whose cells are "train" or "valid"; None without a split.
        notes: what was decided or left out while reading, a line each.
        facts: what a writer of the same form needs.
    """

    frame: pd.DataFrame
    form: str = "csv"
    images: Path | None = None
    id_column: str | None = None
    target_column: str | None = None
    split_column: str | None = None
    notes: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Reader(ABC):
    """One form of rows."""

    own_target: ClassVar[str | None] = None
    """Name by default of the column of labels that the form brings; None where a column has to be named."""
    suffixes: ClassVar[tuple[str, ...]] = ()
    """Suffixes of its files."""

    def matches(self, path: Path) -> bool:
        """Whether an existing file or folder is of this form, by its name and first bytes or by its entries."""
        return path.is_file() and path.suffix.lower() in self.suffixes

    @abstractmethod
    def read(self, path: Path, options: ReadOptions) -> Source:
        """The rows. Raises DataError: what is wrong with the file or folder, what is valid."""


SPLIT = "split"
"""Column of a part's name, of rows whose container has a split."""
PART_NAMES: Mapping[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "valid",
    "valid": "valid",
    "validation": "valid",
    "dev": "valid",
    "test": "test",
    "testing": "test",
}
_JUNK = ("__MACOSX",)


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted; hidden ones and those that archives leave behind are left out."""
    entries = sorted(folder.iterdir())
    return [each for each in entries if each.is_dir() and not each.name.startswith(".") and each.name not in _JUNK]


def part_of(name: str) -> Part | None:
    """Return the part that a name is one of, None for any other name.

    >>> part_of("Val"), part_of("nevus")
    ('valid', None)
    """
    return PART_NAMES.get(name.casefold())


def split_folders(folder: Path) -> dict[Part, Path]:
    """Return the folder of each part, none where the folder has no split.

    A folder has one where all its folders have names of parts, or where that of the training rows holds folders of its
    own: a class may be called "train", too.

    Raises:
        DataError: two folders of one part.
    """
    inside = subfolders(folder)
    named = [each for each in inside if part_of(each.name)]
    train = [each for each in named if part_of(each.name) == "train"]
    if not train or (len(named) < len(inside) and not any(subfolders(each) for each in train)):
        return {}
    return _one_each(folder, named)


def _one_each(folder: Path, named: Iterable[Path]) -> dict[Part, Path]:
    found: dict[Part, Path] = {}
    for each in named:
        part = part_of(each.name)
        assert part is not None
        if part in found:
            raise DataError([f"{folder}: {found[part].name} and {each.name} are both the {part} part; keep one"])
        found[part] = each
    return found


def parts_for(wanted: Part, existing: Iterable[Part], source: Path) -> tuple[Part, ...]:
    """Return the parts to read of those that exist: validation rows lie beside training rows.

    Raises:
        DataError: there is no such part.
    """
    parts: tuple[Part, ...] = ("train", "valid") if wanted == "train" else (wanted,)
    known = list(existing)
    if wanted not in known:
        raise DataError([f"{source}: has no {wanted} part; it has: {', '.join(known)}"])
    return tuple(part for part in parts if part in known)
