"""Labels of a table's columns, and messages for wrong ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import DataError, did_you_mean, unknown

_SHOWN = 5
_NAMES_SHOWN = 20


def read_csv(path: Path) -> pd.DataFrame:
    """Return a CSV as text: only an empty cell is missing ("NA" and "None" are labels); a BOM is dropped.

    Raises:
        DataError: no such file, not a CSV, not UTF-8, empty.
    """
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError([f"{path}: no such file"]) from None
    except (ValueError, OSError) as error:  # pandas' parser and decoding errors are ValueErrors
        reason = " ".join(str(error).split())
        raise DataError([f"{path}: cannot be read as a CSV ({reason})"]) from error


def label_sets(
    frame: pd.DataFrame, column: str, separator: str, source: Path | str
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.int64]]:
    """Return all labels (M,) of a column of label lists, and the row (M,) of each; an empty cell has none.

    Blanks around a label are dropped, and so are empty labels.

    Raises:
        DataError: no such column.
    """
    if column not in frame:
        raise DataError([f"{source}: {unknown('column', column, map(str, frame.columns))}"])
    cells = frame[column].fillna("").astype(str)
    pairs = [(name, row) for row, cell in enumerate(cells) for part in cell.split(separator) if (name := part.strip())]
    labels, rows = zip(*pairs, strict=True) if pairs else ((), ())
    return np.array(labels, dtype=np.str_), np.array(rows, dtype=np.int64)


def label_column(frame: pd.DataFrame, column: str, source: Path | str) -> npt.NDArray[np.str_]:
    """Return the labels (N,) of a column, without the blanks around them.

    Raises:
        DataError: no such column; rows without a label.
    """
    if column not in frame:
        raise DataError([f"{source}: {unknown('column', column, map(str, frame.columns))}"])
    cells = frame[column]
    labels = np.array([str(cell).strip() for cell in cells], dtype=np.str_)
    empty = np.flatnonzero(cells.isna().to_numpy(dtype=bool) | (labels == ""))
    if len(empty):
        where = f"{len(empty)} of {len(frame)} rows (data rows {_first(empty + 1)})"
        raise DataError([f"{source}: column '{column}' is empty in {where}; fill them or drop the rows"])
    return labels


def sort_labels(labels: npt.NDArray[np.str_]) -> tuple[str, ...]:
    """Return the distinct labels in order: as numbers where all are finite numbers, else as text."""
    distinct = [str(label) for label in np.unique(labels)]
    try:
        numbers = {label: float(label) for label in distinct}
    except ValueError:
        return tuple(distinct)
    if not all(math.isfinite(number) for number in numbers.values()):
        return tuple(distinct)
    return tuple(sorted(distinct, key=lambda label: (numbers[label], label)))


def encode_labels(
    labels: npt.NDArray[np.str_],
    known: Sequence[str],
    column: str,
    source: Path | str,
    rows: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int64]:
    """Return the index (N,) of each label among the known ones; ``rows`` (N,) are the labels' rows in the table.

    Raises:
        DataError: labels that are not known, each with its rows and the nearest known one.
    """
    place = {label: index for index, label in enumerate(known)}
    rows = np.arange(len(labels)) if rows is None else rows
    distinct, inverse = np.unique(labels, return_inverse=True)
    strange = [index for index, label in enumerate(distinct) if str(label) not in place]
    if strange:
        shown = strange[:_SHOWN]
        problems = [_strange_label(str(distinct[i]), rows[inverse == i], known, column, source) for i in shown]
        if len(strange) > _SHOWN:
            problems.append(f"{source}: column '{column}' has {len(strange) - _SHOWN} more unknown labels")
        raise DataError(problems)
    codes = np.array([place[str(label)] for label in distinct], dtype=np.int64)
    return np.asarray(codes[inverse])


def _strange_label(
    label: str, rows: npt.NDArray[np.int64], known: Sequence[str], column: str, source: Path | str
) -> str:
    shown = [*known[:_NAMES_SHOWN], *(["…"] if len(known) > _NAMES_SHOWN else [])]
    text = f"unknown label {label!r}{did_you_mean(label, known) or ';'} valid: {', '.join(shown)}"
    return f"{source}: column '{column}': {text} (in {len(rows)} rows, data rows {_first(rows + 1)})"


def _first(rows: npt.NDArray[np.intp]) -> str:
    shown = ", ".join(str(row) for row in rows[:_SHOWN])
    return shown + (", …" if len(rows) > _SHOWN else "")
