"""Labels as columns, one a label: one-hot, or multi-hot."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import DataError
from foldtune.wording import first_few, shortened, unknown

_SHOWN = 5
_TRUTH = {"true": 1.0, "false": 0.0}
_WILDCARDS = "*?["

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
        problems += [_strange(name, texts[index], codes == index, "is no number") for index in strange[:1]]
        values[:, place] = np.array([np.nan if number is None else number for number in numbers])[codes]
    _refuse(problems, source)
    return values


def on_columns(frame: pd.DataFrame, columns: Sequence[str], source: Path | str) -> npt.NDArray[np.bool_]:
    """Return (N, C) whether each of 0/1 columns is 1; an empty cell is 0.

    Raises:
        DataError: cells that are neither 0 nor 1, with their rows.
    """
    values = column_values(frame, columns, source)
    wrong = ~(np.isnan(values) | (values == 0) | (values == 1))
    problems = []
    for place in map(int, np.flatnonzero(wrong.any(axis=0))):
        first = int(np.flatnonzero(wrong[:, place])[0])
        text = str(frame[columns[place]].iloc[first]).strip()
        problems.append(_strange(columns[place], text, wrong[:, place], "is neither 0 nor 1"))
    _refuse(problems, source)
    return np.asarray(values == 1)


def one_hot_labels(
    frame: pd.DataFrame, columns: Sequence[str], source: Path | str, none_label: str | None = None
) -> list[str]:
    """Return the label of each row, the name of its column that is 1; "" in a row whose cells are all empty.

    Args:
        none_label: label of a row without a 1.

    Raises:
        DataError: a row with several, or without any, as numbers of data rows.
    """
    on = on_columns(frame, columns, source)
    count = on.sum(axis=1)
    empty = np.ones(len(frame), dtype=np.bool_)
    for name in columns:
        empty &= (frame[name].fillna("").astype(str).str.strip() == "").to_numpy(dtype=np.bool_)
    problems = []
    if len(none := np.flatnonzero((count == 0) & ~empty)) and none_label is None:
        where = f"{len(none)} of {len(frame)} rows have no 1 in the {len(columns)} columns of data.target"
        advice = "if these are a class of their own, name it by data.none_label"
        problems.append(f"{where} (data rows {first_few(none + 1)}); {advice}")
    if len(several := np.flatnonzero(count > 1)):
        first = [name for name, is_on in zip(columns, on[several[0]], strict=True) if is_on]
        where = (
            f"{len(several)} of {len(frame)} rows have more than one 1 (data rows {first_few(several + 1)}; the first"
        )
        problems.append(f"{where}: {first_few(first)}); several labels an image are task multilabel")
    _refuse(problems, source)
    names = np.array([*columns, none_label or ""], dtype=object)
    labels = names[np.where(count == 1, on.argmax(axis=1), len(columns))]
    if none_label is None:
        return list(labels)
    return list(np.where(empty, "", labels))


def multi_hot_labels(frame: pd.DataFrame, columns: Sequence[str], source: Path | str) -> list[list[str]]:
    """Return the labels of each row: the names of its columns that are 1. Raises DataError."""
    names = np.array(columns, dtype=object)
    return [list(names[row]) for row in on_columns(frame, columns, source)]


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
