"""Rows that a person marked to be left out, in a table such as `foldtune audit` writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldtune.canonical import canonical_text
from foldtune.csv_files import read_csv
from foldtune.errors import DataError
from foldtune.wording import first_few, shortened, unknown

IMAGE, MARK, SET = "image", "exclude", "set"
"""Columns: the id of an image, the mark, and where there is one the set of the row, train or test."""
MARKS = ("x", "1", "1.0", "yes", "y", "true")
NO_MARKS = ("", "0", "0.0", "no", "n", "false")


EXCLUDED = "a mark in data.exclude"
"""Reason for which marked rows are left out."""


@dataclass(frozen=True)
class Marked:
    """Ids of the rows that are marked, in their canonical form.

    Attributes:
        rows: those to leave out.
        submitted: those of rows to submit, which stay.
    """

    rows: frozenset[str] = frozenset()
    submitted: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.rows | self.submitted)


def without_marked(
    frame: pd.DataFrame, id_column: str, marked: frozenset[str], source: Path | str
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows whose ids are not marked, and how many are, by reason. Raises DataError where all are."""
    if not marked or id_column not in frame:
        return frame, {}
    kept = ~frame[id_column].fillna("").astype(str).map(canonical_text).isin(marked)
    if kept.all():
        return frame, {}
    if not kept.any():
        raise DataError([f"{source}: every row is left out ({EXCLUDED})"])
    return frame[kept].reset_index(drop=True), {EXCLUDED: int((~kept).sum())}


def read_marked(path: Path) -> Marked:
    """Return which rows are marked.

    A mark is one of `MARKS` in any case; a cell of `NO_MARKS` is none.

    Raises:
        DataError: no table, no such columns, or cells that are neither.
    """
    frame = read_csv(path, empty_is_missing=False)
    lacking = [unknown("column", name, map(str, frame.columns)) for name in (IMAGE, MARK) if name not in frame]
    if lacking:
        raise DataError([f"{path}: {text}" for text in lacking])
    marks = [str(cell).strip().casefold() for cell in frame[MARK]]
    if strange := sorted({mark for mark in marks if mark not in MARKS + NO_MARKS}):
        shown = first_few([shortened(repr(mark)) for mark in strange])
        raise DataError([f"{path}: column '{MARK}' holds {shown}; mark a row with x, and leave others empty"])
    sets = frame[SET].tolist() if SET in frame else ["train"] * len(frame)
    names = map(canonical_text, frame[IMAGE].astype(str))
    marked = [(name, of) for name, mark, of in zip(names, marks, sets, strict=True) if mark in MARKS]
    submitted = frozenset(name for name, of in marked if of == "test")
    return Marked(frozenset(name for name, of in marked if of != "test"), submitted)
