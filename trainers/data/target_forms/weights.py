"""Weights of labels in a table, in cells such as ``{'a': 0.4, 'b': 0.6}``: soft targets, and cells that are unknown."""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import Spellings, canonical_text
from foldtune.trainers.data.label_columns import Labels, encode_labels, parsed_cells
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


Floats = npt.NDArray[np.float64]


def holds_weights(frame: pd.DataFrame, column: str) -> bool:
    """Return whether a column has a cell that is written as a mapping."""
    if column not in frame:
        return False
    cells = frame[column]
    distinct = cells.unique() if isinstance(cells.dtype, pd.StringDtype) else cells
    return any(isinstance(cell, str) and is_mapping_text(cell) for cell in distinct)


@dataclass(frozen=True, eq=False)
class LabelWeights:
    """Weights of labels in the N rows of a table.

    Attributes:
        cells: label → weight of each row, none in an empty cell; NaN where it is unknown.
    """

    column: str
    cells: tuple[Mapping[str, float], ...]

    @classmethod
    def of(cls, frame: pd.DataFrame, column: str, source: Path | str) -> LabelWeights:
        """Read a column.

        Raises:
            DataError: no such column, or cells that are no mapping of labels to weights, with their rows.
        """
        return cls(column, tuple(parsed_cells(frame, column, source, lambda text: parse_weights(canonical_text(text)))))

    @property
    def labels(self) -> Labels:
        """Labels (M,) of all rows that give them a weight over 0."""
        names = [label for cell in self.cells for label, weight in cell.items() if weight > 0]
        array = np.empty(len(names), dtype=object)
        array[:] = names
        return array

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Row (M,) of each of `labels`."""
        sizes = [sum(weight > 0 for weight in cell.values()) for cell in self.cells]
        return np.repeat(np.arange(len(self.cells)), sizes)

    def without(self, label: str) -> LabelWeights:
        """Return the weights of all other labels."""
        spelled = Spellings([label])
        cells = ({name: weight for name, weight in cell.items() if spelled.find(name) is None} for cell in self.cells)
        return LabelWeights(self.column, tuple(cells))

    def matrix(self, known: Sequence[str], source: Path | str) -> Floats:
        """Return the weight (N, L) of each of the known labels; 0 where a row does not have it, NaN where unknown.

        A label that has no weight over 0 in any row need not be known.

        Raises:
            DataError: labels that are not known.
        """
        spellings, place = Spellings(known), {name: index for index, name in enumerate(known)}
        found = {label: spellings.find(label) for label in {label for cell in self.cells for label in cell}}
        if None in found.values():
            encode_labels(self.labels, known, self.column, source, self.rows)  # which raises for one with a weight
        codes = {label: place[name] for label, name in found.items() if name is not None}
        weights = np.zeros((len(self.cells), len(known)))
        for row, cell in enumerate(self.cells):
            for label, weight in cell.items():
                if label in codes:
                    weights[row, codes[label]] += weight
        return np.asarray(np.minimum(weights, 1.0))


def renamed(cell: Mapping[str, float], new: Callable[[str], str | None]) -> dict[str, float]:
    """Return label → weight under new labels; weights of labels that become one add up, to 1 at most.

    Args:
        cell: label → weight of a row; NaN where it is unknown.
        new: label → new label, None for one that is removed.

    >>> renamed({"a": 0.25, "b": 0.5, "c": 0.25}, {"a": "x", "b": "x", "c": None}.get)
    {'x': 0.75}
    """
    found: dict[str, float] = {}
    for label, weight in cell.items():
        if (name := new(label)) is not None:
            both = found.get(name, 0.0) + weight
            certain = 1.0 in (weight, found.get(name))  # then the other, which may be unknown, adds nothing
            found[name] = 1.0 if certain else min(both, 1.0) if both == both else both
    return found


def is_empty(cell: Mapping[str, float], one_class: bool) -> bool:
    """Return whether a row has no label: it names none or, where one class is wanted, gives none any weight."""
    return not any(cell.values()) if one_class else not cell  # NaN counts as a weight
