"""The tables that were found, read once each in whatever form they are: rows of labels, or boxes of text."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.errors import DataError, FoldtuneError, InputError
from foldtune.search.init.columns import id_columns
from foldtune.search.init.inventory import Inventory
from foldtune.trainers.data.readers import READERS, Reader, ReadOptions, Source, find_reader, read_source
from foldtune.trainers.data.readers.json_records import JsonForm, JsonRecords
from foldtune.trainers.detection.forms.icdar import IcdarFolder
from foldtune.trainers.detection.table import SUFFIXES as BOX_FORMS
from foldtune.trainers.detection.table import BoxesJson
from foldtune.wording import first_few

_BOXES = "boxes"
"""Column of boxes of text."""


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
        return _BOXES in self.frame and any(isinstance(cell, list) for cell in self.frame[_BOXES])

    @property
    def beside_ids(self) -> list[str]:
        """Columns that name no pictures."""
        return [str(name) for name in self.frame.columns if name not in self.ids]

    @property
    def pictures(self) -> set[str]:
        """Names of the pictures."""
        return {str(cell) for name in self.ids for cell in self.frame[name].dropna()}

    @property
    def described(self) -> str:
        """Its rows and columns, for messages."""
        return f"{len(self.frame):,} rows of {first_few(self.beside_ids) or 'names alone'}"


class _BoxesOrRows(JsonForm):
    """A JSON file of boxes, or else of rows."""

    def source(self, path: Path, content: Any, options: ReadOptions) -> Source:
        with suppress(DataError):
            found = BoxesJson().source(path, content, options)
            if _BOXES in found.frame:
                return replace(found, target_column=None)
        return JsonRecords().source(path, content, options)


_READERS: tuple[Reader, ...] = (IcdarFolder(), _BoxesOrRows(), *READERS)


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
    reader, source = _read(path, encoding)
    if not len(source.frame):
        raise InputError(f"{path}: has no rows")
    if source.form in BOX_FORMS:
        return TableFound(path, source.frame, ("image",), _BOXES, brings_target=True)
    ids = (source.id_column,) if source.id_column else id_columns(source.frame, inventory)
    own = source.images if path.is_file() else None
    has_test = source.form == "npz" and _has_test(path, source.frame[ids[0]])
    brings_target = reader is not None and reader.own_target is not None
    return TableFound(path, source.frame, ids, source.form, brings_target, source.split_column, own, has_test)


def _read(path: Path, encoding: str | None) -> tuple[Reader | None, Source]:
    reader = find_reader(path, _READERS)
    target = (reader.own_target if reader else None) or "label"
    try:
        return reader, read_source(path, ReadOptions(target_column=target, encoding=encoding), _READERS)
    except DataError:
        if not isinstance(reader, IcdarFolder):  # texts beside pictures may be anything
            raise
    return find_reader(path), read_source(path, ReadOptions(encoding=encoding))


def _has_test(path: Path, ids: pd.Series[str]) -> bool:
    """Whether a file of arrays has a part to submit beside the training part, after which its rows are named."""
    try:
        return ids.iloc[0].startswith("train/") and len(read_source(path, ReadOptions(part="test")).frame) > 0
    except FoldtuneError:
        return False
