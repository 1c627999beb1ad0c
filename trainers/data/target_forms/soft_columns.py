"""Columns of labels that hold more than 0 and 1: fractions, -1 for uncertain, and cells that are blank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError
from foldtune.trainers.data.target_forms.weight_text import weight_text
from foldtune.wording import first_few, shortened

Values: TypeAlias = npt.NDArray[np.float64]
Uncertain: TypeAlias = Literal["ignore", "positive", "negative"]

UNCERTAIN = -1.0
"""Value of a cell of which it is uncertain whether the label is there (Irvin et al. 2019, CheXpert)."""
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class SoftColumns:
    """Weights of labels in N rows, from columns.

    Attributes:
        names: C names of the columns, which are the labels.
        weights: (N, C) in [0, 1], NaN where it is unknown whether the label is there.
        empty: (N,) rows in which all cells are blank.
        notes: what should be read about the cells, a line each.
    """

    names: tuple[str, ...]
    weights: Values
    empty: npt.NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    @property
    def are_hard(self) -> bool:
        """Whether all cells are 0 or 1."""
        return bool(np.isin(self.weights, (0.0, 1.0)).all())

    def labels(self) -> list[list[str]]:
        """Return the labels of each row, of columns that are hard."""
        names = np.array(self.names, dtype=object)
        return [list(names[row == 1]) for row in self.weights]

    def texts(self) -> list[str]:
        """Return each row as a cell that maps labels to weights; "" for a row of one class without any."""
        return [
            "" if empty else weight_text(dict(zip(self.names, row, strict=True)))
            for row, empty in zip(self.weights.tolist(), self.empty.tolist(), strict=True)
        ]


def needs_weights(values: Values, *, several: bool, uncertain: Uncertain | None = None) -> bool:
    """Return whether cells (N, C), NaN where blank, are for `soft_columns`: fractions, or uncertain ones.

    A value that is no probability is an error of columns of 0 and 1, unless others are fractions.
    """
    fractions = ((values > 0) & (values < 1)).any()
    return uncertain is not None or bool(fractions) or (several and bool((values == UNCERTAIN).any()))


def soft_columns(
    values: Values, names: Sequence[str], *, several: bool, uncertain: Uncertain | None = None
) -> SoftColumns:
    """Return the weights of labels.

    Args:
        values: (N, C) cells, NaN where blank.
        names: names of the columns.
        several: whether a row has any number of labels; else its weights are those of one class, and a blank cell is 0.
        uncertain: what cells of -1 become: unknown (ignore), 1 or 0. A blank cell is unknown under ignore, else 0.

    Raises:
        DataError: cells that are no probabilities, or -1 without a rule for it; a rule where a row has one class.
    """
    blank, unsure = np.isnan(values), values == UNCERTAIN
    if uncertain is not None and not several:
        raise DataError(["data.uncertain is for labels that are on or off, of the task multilabel; leave it out"])
    if several and uncertain is None and unsure.any():
        cells = f"{int(unsure.sum()):,} of {values.size:,} cells are -1 ({int(blank.sum()):,} are blank)"
        rules = "ignore leaves them out of loss, counts and metrics; positive takes them as 1, negative as 0"
        raise DataError([f"{cells}: set data.uncertain; {rules}"])
    _check(values, names, blank | (unsure & several))
    unknown = np.zeros_like(blank) if uncertain != "ignore" else blank | unsure
    weights = np.where(blank, 0.0, np.where(unsure, 1.0 if uncertain == "positive" else 0.0, values))
    weights[unknown] = np.nan
    empty = blank.all(axis=1) if not several else np.zeros(len(values), dtype=np.bool_)
    fractions = ((weights > 0) & (weights < 1)).any(axis=1)
    notes = [f"the columns of data.target hold fractions in {int(fractions.sum()):,} rows"] if fractions.any() else []
    if uncertain is not None:
        rule = {"ignore": "both are unknown", "positive": "taken as 1 and 0", "negative": "both taken as 0"}[uncertain]
        counted = f"{int(unsure.sum()):,} cells of -1 and {int(blank.sum()):,} blank ones of {values.size:,}"
        notes.append(f"data.uncertain: {uncertain}: {counted}; {rule}")
    elif several and blank.any():
        notes.append(
            f"{int(blank.sum()):,} of {values.size:,} cells of the columns of data.target are empty, taken as 0"
        )
    return SoftColumns(tuple(names), weights, np.asarray(empty), tuple(notes))


def _check(values: Values, names: Sequence[str], allowed: npt.NDArray[np.bool_]) -> None:
    wrong = ~allowed & ~((values >= 0) & (values <= 1))
    problems = []
    for place in np.flatnonzero(wrong.any(axis=0))[:_SHOWN].tolist():
        rows = np.flatnonzero(wrong[:, place])
        value = f"{values[rows[0], place]:g} is no probability, which is 0 to 1"
        where = f"({len(rows)} rows, data rows {first_few(rows + 1)})"
        problems.append(f"column {shortened(repr(names[place]))}: {value} {where}; divide votes by their number")
    if problems:
        raise DataError(problems)
