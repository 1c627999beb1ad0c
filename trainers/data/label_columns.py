"""Labels of a table's columns, and messages for wrong ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import Spellings, canonical_text, integral, one_spelling, spelling_notes
from foldtune.errors import DataError
from foldtune.wording import first_few, shortened, unknown

Parsed = TypeVar("Parsed")
Labels = npt.NDArray[np.object_]
"""Texts (N,)."""

_SHOWN = 5
_MAX_LABELS = 20_000_000
"""Labels of all cells of a table together."""
_POSITIVES = {"0": "1", "no": "yes", "false": "true", "negative": "positive"}
"""Negative → positive label, whatever their case, of pairs whose positive one is beyond doubt."""
_SEPARATORS = ("|", ",", ";", "/", " ")


def parsed_cells(frame: pd.DataFrame, column: str, source: Path | str, parse: Callable[[str], Parsed]) -> list[Parsed]:
    """Return the cells (N,) of a column as `parse` reads them, each distinct text once.

    Raises:
        DataError: no such column, or cells for which `parse` raises ValueError, with their rows.
    """
    codes, texts = pd.factorize(_cells(frame, column, source).fillna("").astype(str))
    read: list[Parsed] = []
    bad: list[str] = []
    for place, text in enumerate(texts):
        try:
            read.append(parse(text))
        except ValueError as error:
            rows = first_few(np.flatnonzero(codes == place) + 1) if len(bad) < _SHOWN else ""
            bad.append(f"{source}: column '{column}', data rows {rows}: {error}")
    if bad:
        more = [f"{source}: column '{column}' has {len(bad) - _SHOWN:,} more such cells"] if len(bad) > _SHOWN else []
        raise DataError(bad[:_SHOWN] + more)
    return [read[code] for code in codes]


def _cells(frame: pd.DataFrame, column: str, source: Path | str) -> pd.Series[Any]:
    if column not in frame:
        raise DataError([f"{source}: {unknown('column', column, map(str, frame.columns))}"])
    return frame[column]


def label_sets(
    frame: pd.DataFrame, column: str, separator: str, source: Path | str
) -> tuple[Labels, npt.NDArray[np.int64]]:
    """Return all labels (M,) of a column of label lists, and the row (M,) of each; an empty cell has none.

    Blanks around a label are dropped, and so are empty labels.

    Raises:
        DataError: no such column.
    """
    cells = _cells(frame, column, source).fillna("").astype(str)
    if (number := sum(cell.count(separator) + 1 for cell in cells)) > _MAX_LABELS:
        raise DataError([f"{source}: column '{column}' has {number:,} labels; {_MAX_LABELS:,} can be read"])
    pairs = [
        (name, row)
        for row, cell in enumerate(cells)
        for part in cell.split(separator)
        if canonical_text(name := part.strip())
    ]
    labels, rows = zip(*pairs, strict=True) if pairs else ((), ())
    return _text_array(labels), np.array(rows, dtype=np.int64)


def without_label(
    labels: Labels, rows: npt.NDArray[np.int64], name: str | None
) -> tuple[Labels, npt.NDArray[np.int64]]:
    """Return labels (M,) and the row (M,) of each without those that spell `name`, all of them where it is None."""
    if name is None or not len(labels):
        return labels, rows
    spelled = Spellings([name])
    is_name = {label: spelled.find(label) is not None for label in dict.fromkeys(labels)}
    keep = np.fromiter((not is_name[label] for label in labels), dtype=bool, count=len(labels))
    return labels[keep], rows[keep]


def label_column(frame: pd.DataFrame, column: str, source: Path | str) -> Labels:
    """Return the labels (N,) of a column, without the blanks around them.

    Raises:
        DataError: no such column; rows without a label.
    """
    cells = _cells(frame, column, source)
    codes, distinct = np.arange(len(cells)), list(cells)
    if isinstance(cells.dtype, pd.StringDtype):  # a million rows have few labels; elsewhere 1 and True are equal
        codes, values = pd.factorize(cells, use_na_sentinel=False)
        distinct = list(values)
    names = _text_array([str(cell).strip() for cell in distinct])
    named = np.fromiter((bool(canonical_text(name)) for name in names), dtype=bool, count=len(names))
    labels = names[codes]
    empty = np.flatnonzero(cells.isna().to_numpy(dtype=bool) | ~named[codes])
    if len(empty):
        where = f"{len(empty)} of {len(frame)} rows (data rows {first_few(empty + 1)})"
        raise DataError([f"{source}: column '{column}' is empty in {where}; fill them or drop the rows"])
    return labels


def _text_array(texts: Sequence[str]) -> Labels:
    """Return texts (N,) as objects: in an array of fixed width one long text would make all of them long."""
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def sort_labels(labels: Labels) -> tuple[str, ...]:
    """Return the distinct labels in one spelling each, in order: as numbers where all are finite ones, else as text."""
    distinct = sorted(set(one_spelling(dict.fromkeys(labels)).values()))
    try:
        numbers = {label: float(label) for label in distinct}
    except ValueError:
        return tuple(distinct)
    if not all(math.isfinite(number) for number in numbers.values()):
        return tuple(distinct)
    return tuple(sorted(distinct, key=lambda label: (numbers[label], label)))


def encode_labels(
    labels: Labels,
    known: Sequence[str],
    column: str,
    source: Path | str,
    rows: npt.NDArray[np.int64] | None = None,
) -> npt.NDArray[np.int64]:
    """Return the index (N,) of each label among the known ones, however it is spelled.

    Args:
        rows: (N,) the labels' rows in the table.

    Raises:
        DataError: labels that are not known, each with its rows and the nearest known one.
    """
    rows = np.arange(len(labels)) if rows is None else rows
    inverse, distinct = pd.factorize(labels, sort=True)
    spellings, place = Spellings(known), {label: index for index, label in enumerate(known)}
    found = [spellings.find(str(label)) for label in distinct]
    strange = [index for index, name in enumerate(found) if name is None]
    if strange:
        shown = strange[:_SHOWN]
        problems = [_strange_label(str(distinct[i]), rows[inverse == i], known, column, source) for i in shown]
        if len(strange) > _SHOWN:
            problems.append(f"{source}: column '{column}' has {len(strange) - _SHOWN} more unknown labels")
        raise DataError(problems)
    codes = np.array([place[str(name)] for name in found], dtype=np.int64)
    return np.asarray(codes[inverse])


def _strange_label(
    label: str, rows: npt.NDArray[np.int64], known: Sequence[str], column: str, source: Path | str
) -> str:
    text = unknown("label", label, known)
    return f"{source}: column '{column}': {text} (in {len(rows)} rows, data rows {first_few(rows + 1)})"


def check_names(names: Iterable[str], column: str) -> None:
    """Refuse labels that begin as lists and mappings do, which are cells that were not read as such.

    Raises:
        DataError: such labels, with what they may be.
    """
    strange = [name for name in names if name.startswith(("[", "{"))]
    if not strange:
        return
    form = "a list" if strange[0].startswith("[") else "a mapping"
    reads = "task multilabel reads a column of lists such as ['a', 'b']; another label is given by data.target_map"
    shown = f"{len(strange)} labels" if len(strange) > 1 else "a label"
    raise DataError(
        [f"column '{column}': {shown} written as {form} ({shortened(repr(strange[0]))}), which is no class; {reads}"]
    )


def check_several(names: Sequence[str], column: str, most: int) -> None:
    """Refuse the numbers 0, 1 and -1 as names of labels where no row has two: the column is one label, on or off.

    Raises:
        DataError: there are no other names.
    """
    numbers = {integral(name) for name in names}
    if most <= 1 and numbers <= {"0", "1", "-1"}:
        shown = ", ".join(map(repr, names))
        advice = f"where it is one label that is there or not, write data.target: [{column}]"
        raise DataError([f"column '{column}' holds {shown}, which are no names of labels; {advice}"])


def known_positive(labels: Sequence[str]) -> str | None:
    """Return the positive one of two labels where a convention names it, None where none does.

    >>> known_positive(["Yes", "No"]), known_positive(["cancer", "normal"])
    ('Yes', None)
    """
    forms = {(integral(label) or label).casefold(): label for label in labels}
    return next((forms[one] for other, one in _POSITIVES.items() if forms.keys() == {one, other}), None)


def label_notes(column: str, labels: Labels) -> tuple[str, ...]:
    """Return a line for labels that are spelled in several ways, and one for those that look like several labels."""
    distinct = list(dict.fromkeys(labels))
    what = f"column '{column}'"
    joined = joined_labels(one_spelling(distinct).values())
    notes = spelling_notes(what, distinct)
    if joined is None:
        return notes
    separator, example = joined
    advice = f"if it holds several labels, use task multilabel with data.label_separator: '{separator}'"
    return (*notes, f"{what}: {shortened(repr(example))} is taken as one label; {advice}")


def joined_labels(names: Iterable[str]) -> tuple[str, str] | None:
    """Return a separator by which some labels are joins of others, and one such label; None where there is none.

    >>> joined_labels(["cat", "dog", "cat dog"]), joined_labels(["left eye", "right eye"])
    ((' ', 'cat dog'), None)
    """
    known = set(names)
    for separator in _SEPARATORS:
        joins = [name for name in known if separator in name.strip()]
        parts = {name: {part.strip() for part in name.split(separator)} - {""} for name in joins}
        if of_others := sorted(name for name in joins if len(parts[name]) > 1 and parts[name] <= known):
            return separator, of_others[0]
        compressed = len(set().union(*parts.values(), known - parts.keys())) * 2 <= len(known)
        if joins and compressed:
            return separator, min(joins)
    return None
