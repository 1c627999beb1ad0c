"""Cases among new images: the columns that name them, and their images behind each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from foldtune.canonical import canonical_text
from foldtune.errors import DataError, InputError
from foldtune.trainers.data.cases import CASE, one_row_an_image
from foldtune.wording import unknown

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class CaseColumns:
    """Columns of a table of new images by which an ensemble judges cases.

    Attributes:
        images: columns of the image names.
        case: column of the cases; None where each is named for its first image.
    """

    images: tuple[str, ...]
    case: str | None

    @classmethod
    def of_description(cls, description: Mapping[str, Any]) -> Self | None:
        """Return those in an ensemble's JSON, None where it judges images."""
        stored = description.get("case")
        if not isinstance(stored, Mapping):
            return None
        column = stored.get("column")
        return cls(tuple(map(str, stored.get("images", ()))), None if column is None else str(column))

    @property
    def name(self) -> str:
        """Column of the cases in a result."""
        return self.case or CASE

    def rows(self, frame: pd.DataFrame, id_column: str, source: Path) -> tuple[pd.DataFrame, str]:
        """Return one row an image, all images of a case behind each other, and the column of the images.

        Raises:
            InputError: columns that the table lacks, rows without a case or an image.
        """
        image = id_column
        if len(self.images) > 1:
            try:
                frame, image = one_row_an_image(frame, self.images, self.case, source), self.images[0]
            except DataError as error:
                raise InputError(error.problems) from None
        if self.name not in frame:
            raise InputError(
                f"{source}: {unknown('column', self.name, map(str, frame.columns))}: the ensemble judges cases"
            )
        cases = frame[self.name].fillna("").astype(str).map(canonical_text)
        if (cases == "").any():
            row = int(np.flatnonzero(cases == "")[0]) + 1
            raise InputError(f"{source}: column {self.name!r} is empty (first: data row {row})")
        order = np.argsort(cases.factorize()[0], kind="stable")
        return frame.assign(**{self.name: cases}).iloc[order].reset_index(drop=True), image


def whole_cases(units: npt.NDArray[np.int64], size: int) -> Iterator[slice]:
    """Give slices of at most `size` images, or of one case that has more; `units` (N,) are ascending."""
    first = 0
    while first < len(units):
        last = min(first + size, len(units))
        if last < len(units) and units[last] == units[last - 1]:
            begin = int(np.searchsorted(units, units[last]))
            last = begin if begin > first else int(np.searchsorted(units, units[last], side="right"))
        yield slice(first, last)
        first = last


def of_units(
    reasons: Mapping[int, str], units: npt.NDArray[np.int64] | None, rows: npt.NDArray[np.int64]
) -> dict[int, str]:
    """Return reasons by row, or by unit for the units that none of `rows` belongs to."""
    if units is None:
        return dict(reasons)
    judged = set(units[rows].tolist())
    found: dict[int, str] = {}
    for row, reason in sorted(reasons.items()):
        if (unit := int(units[row])) not in judged:
            found.setdefault(unit, reason)
    return found


def partly_read(
    reasons: Mapping[int, str], units: npt.NDArray[np.int64], rows: npt.NDArray[np.int64], paths: Sequence[Path]
) -> dict[int, str]:
    """Return the first of the images without scores, and why, by unit of those that others of `rows` belong to."""
    judged = set(units[rows].tolist())
    found: dict[int, str] = {}
    for row, reason in sorted(reasons.items()):
        if (unit := int(units[row])) in judged:
            found.setdefault(unit, f"{paths[row].name}: {reason}")
    return found
