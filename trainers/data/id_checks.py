"""Checks of a table's column of image names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from foldtune.canonical import canonical_text
from foldtune.wording import first_few, shortened

_MAX_ID = 4096
"""Characters of an image's name: no file system takes a longer path."""
MAX_NAME_BYTES = 255
"""Bytes of a file's or folder's name."""
MAX_TEXT_BYTES = 1 << 28
"""Memory of a column of names or groups; of more, long names are refused, long groups named by a digest."""


def empty_cells(column: pd.Series[Any], names: Sequence[str] | None = None) -> list[str]:
    """Problem of cells without a text. `names`: (N,) canonical forms of the cells, where they are known."""
    blank = [not name for name in names or (canonical_text(str(cell)) for cell in column)]
    empty = np.flatnonzero(column.isna().to_numpy(dtype=bool) | np.array(blank, dtype=bool))
    if not len(empty):
        return []
    rows = "1 row" if len(empty) == 1 else f"{len(empty)} rows"
    return [f"column '{column.name}' is empty in {rows} (data rows {first_few(empty + 1)})"]


def id_problems(column: pd.Series[Any], ids: Sequence[str]) -> list[str]:
    problems = empty_cells(column, ids)
    names = pd.Series(ids, dtype=object)
    repeated = names[names.duplicated() & (names != "")].unique()
    if len(repeated):
        problems.append(f"column '{column.name}' has {len(repeated)} names more than once ({first_few(repeated)})")
    return problems


def unusable_ids(column: pd.Series[Any], ids: Sequence[str]) -> list[str]:
    """Problems of names that are no file's on any machine."""
    strange = [row for row, name in enumerate(ids) if name and not _is_file_name(name)]
    if not strange:
        return []
    shown = first_few([shortened(repr(ids[row])) for row in strange])
    return [f"column '{column.name}' has {len(strange)} names that no file has ({shown}; data row {strange[0] + 1})"]


def too_long_ids(column: pd.Series[Any], ids: Sequence[str]) -> list[str]:
    """Problem of a name so long that the array of all names, each of which takes its length, has no bound."""
    lengths = [len(name) for name in ids]
    longest = max(lengths, default=0)
    if longest <= MAX_NAME_BYTES or longest * len(ids) * 4 <= MAX_TEXT_BYTES:
        return []
    row = lengths.index(longest)
    shown = shortened(repr(ids[row]))
    most = max(MAX_NAME_BYTES, MAX_TEXT_BYTES // 4 // len(ids))
    return [
        f"column '{column.name}': a name of {longest:,} characters among {len(ids):,} rows ({shown}; data row "
        f"{row + 1}); names of a table of this size may have {most:,}"
    ]


def _is_file_name(name: str) -> bool:
    if "/" not in name and name not in (".", "..") and name.isascii() and "\0" not in name:
        return len(name) <= MAX_NAME_BYTES
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if len(name) > _MAX_ID or "\0" in name or not parts or parts[-1] == "..":
        return False
    try:
        return max(len(part.encode()) for part in parts) <= MAX_NAME_BYTES
    except UnicodeEncodeError:
        return False
