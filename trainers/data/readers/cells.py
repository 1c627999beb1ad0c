"""Cells of typed columns as the text that a CSV of them would hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
