"""Cases of several images: a table of cases as one row an image, and which rows are one case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import canonical_text
from foldtune.errors import DataError
from foldtune.wording import first_few, shortened, unknown

CASE = "case"
"""Name of the column of cases where no column of the table names them: each has the name of its first image."""
Names = npt.NDArray[np.str_]


def one_row_an_image(
    frame: pd.DataFrame, image_columns: Sequence[str], case_column: str | None, source: object
) -> pd.DataFrame:
    """Return a table of cases with one row an image, all images of a row behind each other, empty cells left out.

    The images are in the first of their columns, and the names of the cases in `case_column` or, without one, in CASE.

    Args:
        image_columns: several columns of image names.
        case_column: column of the cases' names, None where each gets that of its first image.

    Raises:
        DataError: columns that the table lacks, rows without an image.
    """
    missing = [name for name in (*image_columns, case_column) if name is not None and name not in frame]
    if missing:
        raise DataError([f"{source}: {unknown('column', name, map(str, frame.columns))}" for name in missing])
    first, *others = image_columns
    images = frame[list(image_columns)].fillna("").astype(str).map(canonical_text)
    named = (images != "").to_numpy()
    if not named.any(axis=1).all():
        rows = np.flatnonzero(~named.any(axis=1)) + 1
        listed = ", ".join(image_columns)
        have = "1 case has" if len(rows) == 1 else f"{len(rows)} cases have"
        raise DataError([f"{source}: {have} no image in columns {listed} (data rows {first_few(rows)})"])
    row, column = np.nonzero(named)
    if repeated := _repeated(
        images.to_numpy(dtype=object)[row, column], row, [image_columns[int(each)] for each in column]
    ):
        raise DataError([f"{source}: {repeated}"])
    long = frame.drop(columns=others).iloc[row].reset_index(drop=True)
    cells = images.to_numpy(dtype=object)
    long[first] = cells[row, column]
    if case_column is None:
        long[CASE] = cells[row, named.argmax(axis=1)[row]]
    return long


def _repeated(names: npt.NDArray[Any], rows: npt.NDArray[np.int64], columns: Sequence[str]) -> str:
    """Return the problem of images (N,) that stand in several cells, "" without one."""
    again = np.flatnonzero(pd.Series(names).duplicated())
    if not len(again):
        return ""
    later = int(again[0])
    first = int(np.flatnonzero(names == names[later])[0])
    places = " and ".join(f"column {columns[each]!r} of data row {rows[each] + 1}" for each in (first, later))
    return (
        f"{len(set(names[again]))} images stand in more than one cell (first: {shortened(repr(str(names[later])))}, in "
        f"{places}); an image belongs to one case, once"
    )


def several_labels(targets: npt.NDArray[Any], cases: Names) -> list[str]:
    """Return the problem of cases whose rows have different targets (N, ...), none where each case has one."""
    _, first, of_rows = np.unique(cases, return_index=True, return_inverse=True)
    flat = targets.reshape(len(targets), -1)
    unlike = flat != flat[first][of_rows]
    if flat.dtype.kind == "f":
        unlike &= ~(np.isnan(flat) & np.isnan(flat[first][of_rows]))
    rows = np.flatnonzero(unlike.any(axis=1))
    if not len(rows):
        return []
    count, row = len(np.unique(cases[rows])), int(rows[0])
    where = f"data rows {first[of_rows[row]] + 1} and {row + 1}"
    return [
        f"{count} cases have several labels (first: {shortened(repr(str(cases[row])))}, {where}); a case is judged as "
        "one, so its rows have one label"
    ]


def fold_units(groups: Names | None, cases: Names) -> Names:
    """Return the unit (N,) of each row that no fold may split: its group, and every group that a case connects.

    >>> fold_units(np.array(["a", "b", "c"]), np.array(["1", "1", "2"])).tolist()
    ['a', 'a', 'c']
    """
    if groups is None:
        return cases
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, group = np.unique(groups, return_inverse=True)
    case = np.unique(cases, return_inverse=True)[1] + len(names)
    size = int(case.max(initial=0)) + 1
    links = coo_array((np.ones(len(group), dtype=np.int8), (group, case)), shape=(size, size))
    unit = connected_components(links, directed=False)[1][: len(names)]
    first = np.unique(unit, return_index=True)[1]  # of each unit the first name, in their order
    return names[first][np.unique(unit, return_inverse=True)[1]][group]
