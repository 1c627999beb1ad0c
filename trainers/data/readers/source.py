"""What a reader of rows is given and returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import pandas as pd

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


class Reader(Protocol):
    """One form of rows."""

    @property
    def own_target(self) -> str | None:
        """Name by default of the column of labels that the form brings; None where a column has to be named."""

    def matches(self, path: Path) -> bool:
        """Whether an existing file or folder is of this form, by its name and first bytes or by its entries."""

    def read(self, path: Path, options: ReadOptions) -> Source:
        """The rows.

        Raises:
            DataError: what is wrong with the file or folder, what is valid.
        """
