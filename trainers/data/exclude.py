"""Rows that a person marked to be left out, in a table such as `foldtune audit` writes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import canonical_text
from foldtune.csv_files import read_csv
from foldtune.errors import DataError
from foldtune.wording import first_few, shortened, unknown

IMAGE, MARK, SET, FINDING = "image", "exclude", "set", "finding"
"""Columns: the id of an image, the mark, and where they are there the set of the row, train or test, and what it found.
"""
OF_LABELS = "doubtful_label"
"""Finding about the label of an image, which is its case's, where cases are judged."""
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
        labels: those of `rows` whose label is doubtful: with them all of their cases.
    """

    rows: frozenset[str] = frozenset()
    submitted: frozenset[str] = frozenset()
    labels: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.rows | self.submitted)

    def under(self, prefix: str) -> Marked:
        """Return the marks of rows whose ids have a prefix, without it."""
        rows, labels = (
            frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix))
            for names in (self.rows, self.labels)
        )
        return replace(self, rows=rows, labels=labels)

    def of(self, frame: pd.DataFrame, id_column: str) -> npt.NDArray[np.bool_]:
        """Return which rows (N,) of a table are marked by themselves."""
        return _among(frame[id_column], self.rows)

    def of_cases(self, frame: pd.DataFrame, id_column: str, case_column: str | None) -> npt.NDArray[np.bool_]:
        """Return which rows (N,) of a table belong to a case whose label is marked; none without cases."""
        if not self.labels or case_column is None or case_column not in frame:
            return np.zeros(len(frame), dtype=np.bool_)
        cases = frame[case_column].fillna("").astype(str).map(canonical_text)
        marked = frozenset(cases[_among(frame[id_column], self.labels)]) - {""}
        return np.asarray(cases.isin(marked))


def _among(cells: pd.Series, names: frozenset[str]) -> npt.NDArray[np.bool_]:
    return np.asarray(cells.fillna("").astype(str).map(canonical_text).isin(names))


def without_marked(
    frame: pd.DataFrame, id_column: str, marked: Marked, source: Path | str, case_column: str | None = None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the rows that are not marked, and how many are, by reason. Raises DataError where all are.

    A mark of a label is one of all rows of its case, by the column of cases where there is one.
    """
    if not marked.rows or id_column not in frame:
        return frame, {}
    kept = ~(marked.of(frame, id_column) | marked.of_cases(frame, id_column, case_column))
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
    found = frame[FINDING].tolist() if FINDING in frame else [""] * len(frame)
    marked = [each for *each, mark in zip(names, sets, found, marks, strict=True) if mark in MARKS]
    submitted = frozenset(name for name, of, _ in marked if of == "test")
    labels = frozenset(name for name, of, about in marked if of != "test" and about == OF_LABELS)
    return Marked(frozenset(name for name, of, _ in marked if of != "test"), submitted, labels)
