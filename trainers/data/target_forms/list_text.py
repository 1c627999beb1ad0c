"""Cells that are lists as Python, NumPy or JSON write them, such as ``['a', 'b']``: parsed as data, never evaluated."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from foldtune.trainers.data.label_columns import parsed_cells
from foldtune.wording import shortened

ListForm = Literal["json", "python"]
"""Notation in which lists go back out."""
_ITEM = re.compile(
    r"""\s*(?:('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|([^\s,'"\[\]{}()][^,'"\[\]{}()]*))(?:\s*,|\s*$|\s+)""", re.S
)
_NUMBERS = re.compile(r"[-+]?[0-9.]+(?:\s+[-+]?[0-9.]+)+")
_NOTHING = frozenset({"none", "null", "nan"})


def is_list(cell: str) -> bool:
    """Return whether a cell is written as a list, well or badly.

    >>> is_list(" ['a']"), is_list("a")
    (True, False)
    """
    return cell.lstrip().startswith("[")


def parse_list(cell: str) -> list[str]:
    """Return the labels of a list in JSON's, Python's or NumPy's notation.

    Raises:
        ValueError: no list of texts or numbers.

    >>> parse_list("['a', 'it\\\\'s']"), parse_list('["a"]'), parse_list("['a' 'b']"), parse_list("[]")
    (['a', "it's"], ['a'], ['a', 'b'], [])
    """
    text = cell.strip()
    if not (text.startswith("[") and text.endswith("]")):
        raise ValueError(f"{shortened(repr(cell))} is no list of labels, such as ['a', 'b']")
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = _written_items(text[1:-1], cell)
    strange = [
        each for each in items if isinstance(each, bool) or not isinstance(each, str | int | float) or each == ""
    ]
    if strange:
        raise ValueError(f"{shortened(repr(cell))} holds {shortened(repr(strange[0]))}, no label")
    return [str(each) for each in items]


def list_text(labels: Sequence[str], form: ListForm) -> str:
    """Return the cell of a list of labels.

    >>> list_text(["a", "b"], "json"), list_text(["a", "b"], "python")
    ('["a", "b"]', "['a', 'b']")
    """
    return json.dumps(list(labels), ensure_ascii=False) if form == "json" else repr(list(labels))


def lists_of(frame: pd.DataFrame, column: str, source: Path | str) -> tuple[list[list[str]], ListForm] | None:
    """Return the labels of each row, and the notation; None where no cell is a list.

    Raises:
        DataError: cells that are no lists among lists, or lists that cannot be read, with their rows.
    """
    cells = frame[column].fillna("").astype(str)
    if not any(map(is_list, cells.unique())):
        return None
    rows = parsed_cells(frame, column, source, lambda text: parse_list(text) if text.strip() else [])
    first = next((text.strip() for text, labels in zip(cells, rows, strict=True) if labels), "[]")
    return rows, "json" if first.startswith('["') else "python"


def _written_items(inner: str, cell: str) -> list[Any]:
    items: list[str] = []
    place = 0
    while inner[place:].strip():
        found = _ITEM.match(inner, place)
        if found is None:
            raise ValueError(f"{shortened(repr(cell))} is no list of labels, such as ['a', 'b']")
        quoted, bare = found.groups()
        items += [_unquoted(quoted, cell)] if quoted else _bare(bare.strip(), cell)
        place = found.end()
    return items


def _unquoted(text: str, cell: str) -> str:
    if "\\" not in text:
        return text[1:-1]
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError):
        raise ValueError(f"{shortened(repr(cell))} is no list of labels, such as ['a', 'b']") from None


def _bare(text: str, cell: str) -> list[str]:
    if text.casefold() in _NOTHING:
        raise ValueError(f"{shortened(repr(cell))} holds {text}, no label")
    return text.split() if _NUMBERS.fullmatch(text) else [text]
