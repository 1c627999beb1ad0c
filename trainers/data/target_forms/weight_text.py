"""Cells that map labels to weights, such as ``{'a': 0.4, 'b': 0.6}``: parsed as data, never evaluated."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from foldtune.canonical import canonical_text
from foldtune.wording import shortened

EXAMPLE = "{'a': 0.4, 'b': 0.6}"
MAX_CELL = 1_000_000
"""Characters of a cell."""
UNKNOWN = math.nan
"""Weight of a label of which a row does not state whether it is there."""


def is_mapping_text(cell: str) -> bool:
    """Return whether a cell is written as a mapping, well or badly.

    >>> is_mapping_text(" {'a': 1}"), is_mapping_text("a")
    (True, False)
    """
    return cell.lstrip().startswith("{")


def parse_weights(cell: str) -> dict[str, float]:
    """Return label → weight of a cell in JSON or in Python's notation; null and None are `UNKNOWN`.

    Raises:
        ValueError: no mapping, a label that is given twice, or a weight outside of 0 to 1.

    >>> parse_weights("{'a': .4, 'b': 0.6}"), parse_weights("")
    ({'a': 0.4, 'b': 0.6}, {})
    """
    if not cell.strip():
        return {}
    weights: dict[str, float] = {}
    for label, value in _pairs(cell):
        name = canonical_text(label) if isinstance(label, str) else str(label)
        if isinstance(label, bool) or not isinstance(label, str | int | float) or not name:
            raise ValueError(f"{shortened(repr(label))} is no label, in {shortened(cell)}")
        if name in weights:
            raise ValueError(f"label {shortened(repr(name))} is there more than once, in {shortened(cell)}")
        weights[name] = _weight(value, name)
    return weights


def weight_text(weights: Mapping[str, float]) -> str:
    """Return the cell that `parse_weights` reads as these weights, to the last bit.

    >>> weight_text({"a": 0.4, "b": UNKNOWN})
    '{"a": 0.4, "b": null}'
    """
    values = {label: None if math.isnan(value) else value for label, value in weights.items()}
    return json.dumps(values, ensure_ascii=False)


def _pairs(cell: str) -> Iterable[tuple[Any, Any]]:
    if len(cell) > MAX_CELL:
        raise ValueError(f"has {len(cell):,} characters; {MAX_CELL:,} can be read")
    for text in dict.fromkeys([cell, _double_quoted(cell)]):
        try:
            found = json.loads(text, object_pairs_hook=_JsonPairs)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, _JsonPairs):
            return found
    return _python_pairs(cell)


class _JsonPairs(list[tuple[str, Any]]):
    """Pairs of an object in JSON, in which a key may be there twice."""


def _double_quoted(cell: str) -> str:
    """Return Python's notation as JSON where that takes no more than other quotes, which is read much faster."""
    return cell if '"' in cell or "\\" in cell else cell.replace("'", '"')


def _python_pairs(cell: str) -> list[tuple[Any, Any]]:
    try:
        body = ast.parse(cell.strip(), mode="eval").body
        if isinstance(body, ast.Dict):
            pairs = zip(body.keys, body.values, strict=True)
            return [(ast.literal_eval(key or body), ast.literal_eval(value)) for key, value in pairs]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    raise ValueError(f"{shortened(repr(cell))} is no mapping of labels to weights, such as {EXAMPLE}")


def _weight(value: object, name: str) -> float:
    if value is None:
        return UNKNOWN
    what = f"{shortened(repr(value))} of label {shortened(repr(name))}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"weight {what} is no number")
    if not 0 <= value <= 1:
        raise ValueError(f"weight {what} is no probability, which is 0 to 1; divide votes by their number")
    return float(value)
