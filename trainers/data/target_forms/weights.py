"""Weights of labels in a table, in cells or in columns of fractions: soft targets, and cells that are unknown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import Spellings, canonical_text
from foldtune.errors import DataError
from foldtune.trainers.data.label_columns import Labels, encode_labels
from foldtune.trainers.data.target_forms.weight_text import is_mapping_text, parse_weights
from foldtune.wording import first_few, unknown

Floats = npt.NDArray[np.float64]

_SHOWN = 5


def holds_weights(frame: pd.DataFrame, column: str) -> bool:
    """Return whether a column has a cell that is written as a mapping."""
    return column in frame and any(isinstance(cell, str) and is_mapping_text(cell) for cell in frame[column])


@dataclass(frozen=True, eq=False)
class LabelWeights:
    """Weights of labels in the N rows of a table.

    Attributes:
        column: name of the column.
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
        if column not in frame:
            raise DataError([f"{source}: {unknown('column', column, map(str, frame.columns))}"])
        texts = frame[column].fillna("").astype(str)
        read: dict[str, Mapping[str, float]] = {}
        bad: dict[str, str] = {}
        for text in texts.unique():
            try:
                read[text] = parse_weights(canonical_text(text))
            except ValueError as error:
                bad[text] = str(error)
        if bad:
            raise DataError(_problems(texts, bad, column, source))
        return cls(column, tuple(read[text] for text in texts))

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


def _problems(texts: pd.Series[str], bad: Mapping[str, str], column: str, source: Path | str) -> list[str]:
    """Return a line for each bad cell with its rows, of the first ones alone."""
    places = {text: np.flatnonzero((texts == text).to_numpy()) + 1 for text in list(bad)[:_SHOWN]}
    lines = [f"{source}: column '{column}', data rows {first_few(rows)}: {bad[text]}" for text, rows in places.items()]
    more = len(bad) - _SHOWN
    return [*lines, f"{source}: column '{column}' has {more:,} more such cells"] if more > 0 else lines
