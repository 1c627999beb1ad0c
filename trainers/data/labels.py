"""Rules for a column of labels: rows left out, labels renamed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from foldtune.canonical import Spellings, canonical_text
from foldtune.errors import DataError
from foldtune.trainers.data.target_forms.weight_text import weight_text
from foldtune.trainers.data.target_forms.weights import LabelWeights, holds_weights, is_empty, renamed
from foldtune.wording import unknown

_SHOWN = 5
EXCLUDED = "a mark in data.exclude"
"""Reason for which rows are left out by their ids."""
ON_MISSING = ("error", "skip")


@dataclass(frozen=True)
class LabelRules:
    """Rules for the labels of one column; labels are text without the blanks around them.

    Attributes:
        column: name of the column of labels.
        mapping: old label to new; a row of a label that maps to None is left out. None leaves labels as they are.
        on_missing: "skip" leaves rows without a label out, "error" keeps them, and the task refuses them.
        separator: separator of several labels in a cell, each of which is mapped; labels that map to None are
            removed, the row stays. None: a cell is one label.
        excluded: ids, in their canonical form, of rows that are left out whatever their label.
        id_column: column of the ids.
    """

    column: str
    mapping: Mapping[str, str | None] | None = None
    on_missing: str = "error"
    separator: str | None = None
    excluded: frozenset[str] = frozenset()
    id_column: str = "image"

    def apply(self, frame: pd.DataFrame, source: Path | str) -> tuple[pd.DataFrame, dict[str, int]]:
        """The rows that stay, with their new labels, and how many were left out, by reason.

        Raises:
            DataError: labels that the mapping does not have, or no row stays.
        """
        if not self.excluded or self.id_column not in frame:
            return self._apply(frame, source)
        kept = ~frame[self.id_column].fillna("").astype(str).map(canonical_text).isin(self.excluded)
        if not kept.any():
            raise DataError([f"{source}: every row is left out ({EXCLUDED})"])
        marked = {} if kept.all() else {EXCLUDED: int((~kept).sum())}
        frame, left_out = self._apply(frame[kept].reset_index(drop=True), source)
        return frame, {**marked, **left_out}

    def _apply(self, frame: pd.DataFrame, source: Path | str) -> tuple[pd.DataFrame, dict[str, int]]:
        if self.column not in frame or (self.mapping is None and self.on_missing == "error"):
            return frame, {}
        if holds_weights(frame, self.column):
            return self._apply_to_weights(frame, source)
        cells = frame[self.column].fillna("").astype(str).map(canonical_text)
        if self.mapping is not None and self.separator is None:
            cells = cells.map({cell: self._spelled(cell) for cell in cells.unique()})
        empty = cells == ""
        left_out = {}
        drop = np.zeros(len(frame), dtype=np.bool_)
        if self.on_missing == "skip" and empty.any():
            drop |= empty.to_numpy(dtype=np.bool_)
            left_out["no label"] = int(empty.sum())
        if self.mapping is not None:
            given = {label for cell in cells[~empty] for label in self._labels(cell)}
            self._check(given, cells, source)
            if self.separator is None:
                for label in sorted(given):
                    if self.mapping[label] is None:
                        drop |= (cells == label).to_numpy(dtype=np.bool_)
                        left_out[f"label '{label}'"] = int((cells == label).sum())
            frame = frame.assign(**{self.column: [self._mapped(cell) for cell in cells]})
            frame.loc[empty.to_numpy(), self.column] = np.nan
        if len(frame) and drop.all():
            raise DataError([f"{source}: column '{self.column}': every row is left out ({described(left_out)})"])
        return frame[~drop].reset_index(drop=True), left_out

    def _apply_to_weights(self, frame: pd.DataFrame, source: Path | str) -> tuple[pd.DataFrame, dict[str, int]]:
        """As `apply`, of cells that map labels to weights: weights of labels that become one add up."""
        one_class = self.separator is None
        cells = LabelWeights.of(frame, self.column, source).cells
        empty = np.array([is_empty(cell, one_class) for cell in cells], dtype=np.bool_)
        drop = empty & (self.on_missing == "skip")
        left_out = {"no label": int(drop.sum())} if drop.any() else {}
        if self.mapping is not None:
            mapping = self.mapping
            names = pd.Series([label for cell in cells for label in cell], dtype=object)
            self._check(set(map(self._spelled, names.unique())), names, source)
            cells = tuple(renamed(cell, lambda label: mapping[self._spelled(label)]) for cell in cells)
            if one_class and (gone := ~empty & np.array([is_empty(cell, True) for cell in cells])).any():
                drop |= gone
                left_out["no label that stays"] = int(gone.sum())
            frame = frame.assign(**{self.column: [weight_text(cell) for cell in cells]})
        if len(frame) and drop.all():
            raise DataError([f"{source}: column '{self.column}': every row is left out ({described(left_out)})"])
        return frame[~drop].reset_index(drop=True), left_out

    def _labels(self, cell: str) -> list[str]:
        parts = [cell] if self.separator is None else cell.split(self.separator)
        return [self._spelled(label) for part in parts if (label := canonical_text(part))]

    def _spelled(self, label: str) -> str:
        return self._spellings.find(label) or label

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self.mapping or ())

    def _mapped(self, cell: str) -> str:
        assert self.mapping is not None
        new = [name for label in self._labels(cell) if (name := self.mapping[label]) is not None]
        return (self.separator or "").join(dict.fromkeys(new))

    def _check(self, given: set[str], cells: pd.Series[str], source: Path | str) -> None:
        assert self.mapping is not None
        strange = sorted(given - self.mapping.keys())
        if not strange:
            return
        shown = "; ".join(
            f"{unknown('label', label, self.mapping)} (in {sum(label in self._labels(cell) for cell in cells)} rows)"
            for label in strange[:_SHOWN]
        )
        more = f"; and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
        raise DataError(
            [
                f"{source}: column '{self.column}': target_map lacks labels: {shown}{more}; "
                "map each, to null where its rows are to be left out"
            ]
        )


def described(left_out: Mapping[str, int]) -> str:
    """Return reasons and numbers of rows, as in "3 with no label, 2 with label 'x'"."""
    return ", ".join(f"{rows} with {reason}" for reason, rows in left_out.items())
