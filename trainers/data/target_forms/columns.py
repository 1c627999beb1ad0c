"""Labels as columns, one a label: 0 and 1, fractions, -1 for uncertain, and cells that are blank."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.data.target_forms.weights import weight_text
from foldtune.wording import first_few, shortened, unknown

_SHOWN = 5
_TRUTH = {"true": 1.0, "false": 0.0}
_WILDCARDS = "*?["
_DECIMAL_COMMA = re.compile(r"-?\d*,\d+")

Values = npt.NDArray[np.float64]


def chosen_columns(
    names: Sequence[str], wanted: Sequence[str] | str, others: Collection[str] = ()
) -> tuple[tuple[str, ...], list[str]]:
    """Return the columns of labels in the order of the table or, of a list, in its own; and what is wrong, a line each.

    Args:
        names: all columns of the table.
        wanted: names, or a pattern such as ``label_*``.
        others: columns that hold something else, such as the ids.

    >>> chosen_columns(["image", "l_a", "l_b"], "l_*")
    (('l_a', 'l_b'), [])
    """
    if isinstance(wanted, str):
        found = tuple(name for name in names if fnmatchcase(name, wanted) and name not in others)
        return found, [] if found else [f"no column matches {wanted!r}; there are: {first_few(names, 20)}"]
    strange = [name for name in wanted if name not in names]
    problems = [unknown("column", name, names) for name in strange[:_SHOWN]]
    if len(strange) > _SHOWN:
        problems.append(f"and {len(strange) - _SHOWN} more columns that are not there")
    problems += [f"column {name!r} holds no labels but the ids or groups" for name in wanted if name in others]
    return tuple(wanted), problems


def is_pattern(text: str) -> bool:
    """Return whether a text can stand for several names.

    >>> is_pattern("label_*"), is_pattern("label")
    (True, False)
    """
    return any(character in text for character in _WILDCARDS)


def column_values(frame: pd.DataFrame, columns: Sequence[str], source: Path | str) -> Values:
    """Return the numbers (N, C) of columns; true and false are 1 and 0, an empty cell is NaN.

    Raises:
        DataError: cells that are no numbers, with their rows.
    """
    values = np.empty((len(frame), len(columns)), dtype=np.float64)
    problems = []
    for place, name in enumerate(columns):
        codes, texts = pd.factorize(frame[name].fillna("").astype(str))
        numbers = [_number(text.strip()) for text in texts]
        strange = [index for index, number in enumerate(numbers) if number is None]
        if strange:
            first = texts[strange[0]]
            what = "is no number" + ("; decimals are written with a point" if _DECIMAL_COMMA.fullmatch(first) else "")
            problems.append(_strange(name, first, np.isin(codes, strange), what))
        values[:, place] = np.array([np.nan if number is None else number for number in numbers])[codes]
    _refuse(problems, source)
    return values


def on_columns(values: Values, columns: Sequence[str], source: Path | str) -> npt.NDArray[np.bool_]:
    """Return (N, C) whether each cell of `column_values` is 1; an empty one is 0.

    Raises:
        DataError: cells that are neither 0 nor 1, with their rows.
    """
    wrong = ~(np.isnan(values) | (values == 0) | (values == 1))
    problems = []
    for place in map(int, np.flatnonzero(wrong.any(axis=0))):
        first = int(np.flatnonzero(wrong[:, place])[0])
        problems.append(_strange(columns[place], f"{values[first, place]:g}", wrong[:, place], "is neither 0 nor 1"))
    _refuse(problems, source)
    return np.asarray(values == 1)


def one_hot_labels(
    values: Values, columns: Sequence[str], source: Path | str, none_label: str | None = None
) -> list[str]:
    """Return the label of each row, the name of its column that is 1; "" in a row whose cells are all empty.

    Raises:
        DataError: a row with several, or without any, as numbers of data rows.
    """
    on = on_columns(values, columns, source)
    count, empty = on.sum(axis=1), np.isnan(values).all(axis=1)
    problems = []
    if len(none := np.flatnonzero((count == 0) & ~empty)) and none_label is None:
        where = f"{len(none)} of {len(values)} rows have no 1 in the {len(columns)} columns of data.target"
        advice = "if these are a class of their own, name it by data.none_label"
        problems.append(f"{where} (data rows {first_few(none + 1)}); {advice}")
    if len(several := np.flatnonzero(count > 1)):
        first = [name for name, is_on in zip(columns, on[several[0]], strict=True) if is_on]
        where = (
            f"{len(several)} of {len(values)} rows have more than one 1 (data rows {first_few(several + 1)}; the first"
        )
        problems.append(f"{where}: {first_few(first)}); several labels an image are task multilabel")
    _refuse(problems, source)
    names = np.array([*columns, none_label or ""], dtype=object)
    labels = names[np.where(count == 1, on.argmax(axis=1), len(columns))]
    if none_label is None:
        return list(labels)
    return list(np.where(empty, "", labels))


def multi_hot_labels(values: Values, columns: Sequence[str], source: Path | str) -> list[list[str]]:
    """Return the labels of each row: the names of its columns that are 1. Raises DataError."""
    names = np.array(columns, dtype=object)
    return [list(names[row]) for row in on_columns(values, columns, source)]


def _number(text: str) -> float | None:
    if not text:
        return float("nan")
    if (known := _TRUTH.get(text.lower())) is not None:
        return known
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def _strange(name: str, text: str, where: npt.NDArray[np.bool_], what: str) -> str:
    rows = np.flatnonzero(where)
    return f"column {name!r}: {shortened(repr(text))} {what} ({len(rows)} rows, data rows {first_few(rows + 1)})"


def _refuse(problems: Sequence[str], source: Path | str) -> None:
    if problems:
        more = [f"{source}: and {len(problems) - _SHOWN} more columns like these"] if len(problems) > _SHOWN else []
        raise DataError([f"{source}: {text}" for text in problems[:_SHOWN]] + more)


Uncertain: TypeAlias = Literal["ignore", "positive", "negative"]

UNCERTAIN = -1.0
"""Value of a cell of which it is uncertain whether the label is there (Irvin et al. 2019, CheXpert)."""


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
    elif missing := int((blank & ~np.asarray(empty)[:, None]).sum()):
        notes.append(f"{missing:,} of {values.size:,} cells of the columns of data.target are empty, taken as 0")
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
