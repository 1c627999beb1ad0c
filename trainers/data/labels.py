"""Rules for a column of labels: rows left out, labels renamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import Spellings, canonical_text, one_spelling
from foldtune.errors import DataError
from foldtune.trainers.data.target_forms.weights import LabelWeights, holds_weights, is_empty, renamed, weight_text
from foldtune.wording import did_you_mean, first_few, shortened


@dataclass(frozen=True)
class RareLabels:
    """The rule that leaves labels of few rows out.

    Attributes:
        min_rows: rows that a label needs.
        known: labels of a task that is known already, which are then all that stay; None while they are counted.
    """

    min_rows: int
    known: tuple[str, ...] | None = None

    def find(self, spelled: Mapping[str, int]) -> Mapping[str, int]:
        """Return label, in every spelling that it has → number of its rows, for those that are left out.

        >>> RareLabels(2).find({"a": 1, "a ": 2, "b": 1})
        {'b': 1}
        """
        if self.known is not None:
            names = Spellings(self.known)
            return {label: count for label, count in spelled.items() if names.find(label) is None}
        forms = one_spelling(spelled)
        total: Counter[str] = Counter()
        for label, count in spelled.items():
            total[forms[label]] += count
        few = {form: count for form, count in total.items() if count < self.min_rows and canonical_text(form)}
        return {label: few[forms[label]] for label in spelled if forms[label] in few}


_SHOWN = 5
ON_MISSING = ("error", "skip")
OTHERS = "*"
"""Key of a mapping that stands for all labels that it does not name; as a new label, the label as it is."""


@dataclass(frozen=True)
class LabelRules:
    """Rules for the labels of one column; labels are text without the blanks around them.

    Attributes:
        mapping: old label to new; a row of a label that maps to None is left out. None leaves labels as they are.
            Labels that it does not name stay as they are, unless key ``*``, which stands for them, has a new label;
            a new label ``*`` leaves a label as it is.
        on_missing: "skip" leaves rows without a label out, "error" keeps them, and the task refuses them.
        separator: separator of several labels in a cell, each of which is mapped; labels that map to None are
            removed, the row stays. None: a cell is one label.
        rare: rule for labels of few rows, which counts the new labels; None leaves them in.
    """

    column: str
    mapping: Mapping[str, str | None] | None = None
    on_missing: str = "error"
    separator: str | None = None
    rare: RareLabels | None = None

    def apply(self, frame: pd.DataFrame, source: Path | str) -> tuple[pd.DataFrame, dict[str, int]]:
        """The rows that stay, with their new labels, and how many were left out, by reason.

        Raises:
            DataError: labels that the mapping does not have, or no row stays.
        """
        frame, left_out = self._renamed(frame, source)
        few = self._few(frame)
        if not few:
            return frame, left_out
        self._check_some_stay(frame, few, source)
        only = LabelRules(self.column, dict.fromkeys(few), separator=self.separator)
        kept, rare = only._renamed(frame, source)
        if self.rare is not None and self.separator is None and not holds_weights(frame, self.column):
            rare = {f"a label of fewer than {self.rare.min_rows} rows": sum(rare.values())}
        return kept, {**left_out, **rare}

    def _check_some_stay(self, frame: pd.DataFrame, few: Mapping[str, int], source: Path | str) -> None:
        """Refuse a number of rows that no label has; of a known task other rules name what is strange."""
        counts = self._counts(frame)
        if self.rare is None or self.rare.known is not None or set(filter(None, counts)) - few.keys():
            return
        most = max(few, key=lambda label: few[label])
        raise DataError(
            [
                f"{source}: column '{self.column}': every label is left out: data.min_rows is {self.rare.min_rows}, "
                f"and the most frequent label, {shortened(repr(most))}, has {few[most]:,} rows"
            ]
        )

    def notes(self, frame: pd.DataFrame, source: Path | str) -> tuple[str, ...]:
        """Return lines on labels that the mapping does not name, and on those of few rows that `apply` leaves out."""
        return (*self._unnamed(frame), *self.rare_notes(frame, source))

    def _unnamed(self, frame: pd.DataFrame) -> tuple[str, ...]:
        """Return a line on the labels that stay as they are, since the mapping names others alone."""
        if self.mapping is None or OTHERS in self.mapping or self.column not in frame:
            return ()
        given = {self._spelled(label) for label in self._counts(frame)}
        stay = sorted(given - self.mapping.keys())
        if not stay:
            return ()
        named = first_few([shortened(label) for label in stay], 10)
        stays = "1 label as it is" if len(stay) == 1 else f"{len(stay)} labels as they are"
        return (f"column '{self.column}': target_map leaves {stays}: {named}",)

    def rare_notes(self, frame: pd.DataFrame, source: Path | str) -> tuple[str, ...]:
        """Return the line on the labels of few rows that `apply` leaves out, none where there are none."""
        few = {} if self.rare is None else self._few(self._renamed(frame, source)[0])
        if not few:
            return ()
        assert self.rare is not None
        named = first_few([f"{shortened(label)} ({rows})" for label, rows in sorted(few.items())], 10)
        has, are = ("1 label has", "is") if len(few) == 1 else (f"{len(few)} labels have", "are")
        return (f"{has} fewer than {self.rare.min_rows} rows and {are} left out (data.min_rows): {named}",)

    def check_names(self, frame: pd.DataFrame, source: Path | str) -> None:
        """Refuse a name of the mapping that is a slip of a label that would then stay as it is.

        Raises:
            DataError: a name that no row has and that is near to a label that the mapping does not name.
        """
        if self.mapping is None or self.column not in frame:
            return
        given = {self._spelled(label) for label in self._counts(frame)}
        others = sorted(given - self.mapping.keys())
        problems = [
            f"{source}: column '{self.column}': target_map names {shortened(repr(name))}, which no row has{near}"
            for name in sorted(self.mapping.keys() - given - {OTHERS})
            if (near := did_you_mean(name, others))
        ]
        if problems:
            raise DataError(problems[:_SHOWN])

    def _few(self, frame: pd.DataFrame) -> Mapping[str, int]:
        if self.rare is None or self.column not in frame:
            return {}
        return self.rare.find(self._counts(frame))

    def _counts(self, frame: pd.DataFrame) -> Mapping[str, int]:
        """Return label → number of its rows, those of a weight of 0 left out."""
        counts: Counter[str] = Counter()
        if holds_weights(frame, self.column):
            for cell in LabelWeights.of(frame, self.column, "the table").cells:
                counts.update(label for label, weight in cell.items() if weight != 0)
            return counts
        for text, rows in _canonical(frame[self.column]).value_counts().items():
            for label in dict.fromkeys(self._parts(str(text))):
                counts[label] += int(rows)
        return counts

    def _renamed(self, frame: pd.DataFrame, source: Path | str) -> tuple[pd.DataFrame, dict[str, int]]:
        if self.column not in frame or (self.mapping is None and self.on_missing == "error"):
            return frame, {}
        if holds_weights(frame, self.column):
            return self._apply_to_weights(frame, source)
        cells = _canonical(frame[self.column])
        if self.mapping is not None and self.separator is None:
            cells = cells.map({cell: self._spelled(cell) for cell in cells.unique()})
        empty = cells == ""
        left_out = {}
        drop = np.zeros(len(frame), dtype=np.bool_)
        if self.on_missing == "skip" and empty.any():
            drop |= empty.to_numpy(dtype=np.bool_)
            left_out["no label"] = int(empty.sum())
        if self.mapping is not None:
            given = {label for cell in cells[~empty].unique() for label in self._labels(cell)}
            if self.separator is None:
                for label in sorted(given):
                    if self._new(label) is None:
                        drop |= (cells == label).to_numpy(dtype=np.bool_)
                        left_out[f"label '{label}'"] = int((cells == label).sum())
            frame = frame.assign(**{self.column: cells.map({cell: self._mapped(cell) for cell in cells.unique()})})
            frame.loc[empty.to_numpy(), self.column] = np.nan
        return self._without(frame, drop, left_out, source), left_out

    def _apply_to_weights(self, frame: pd.DataFrame, source: Path | str) -> tuple[pd.DataFrame, dict[str, int]]:
        """As `apply`, of cells that map labels to weights: weights of labels that become one add up."""
        one_class = self.separator is None
        cells = LabelWeights.of(frame, self.column, source).cells
        empty = np.array([is_empty(cell, one_class) for cell in cells], dtype=np.bool_)
        drop = empty & (self.on_missing == "skip")
        left_out = {"no label": int(drop.sum())} if drop.any() else {}
        if self.mapping is not None:
            cells = tuple(renamed(cell, lambda label: self._new(self._spelled(label))) for cell in cells)
            if one_class and (gone := ~empty & np.array([is_empty(cell, True) for cell in cells])).any():
                drop |= gone
                left_out["no label that stays"] = int(gone.sum())
            frame = frame.assign(**{self.column: [weight_text(cell) for cell in cells]})
        return self._without(frame, drop, left_out, source), left_out

    def _without(
        self, frame: pd.DataFrame, drop: npt.NDArray[np.bool_], left_out: Mapping[str, int], source: Path | str
    ) -> pd.DataFrame:
        if len(frame) and drop.all():
            raise DataError([f"{source}: column '{self.column}': every row is left out ({described(left_out)})"])
        return frame[~drop].reset_index(drop=True)

    def _parts(self, cell: str) -> list[str]:
        parts = [cell] if self.separator is None else cell.split(self.separator)
        return [label for part in parts if (label := canonical_text(part))]

    def _labels(self, cell: str) -> list[str]:
        return [self._spelled(label) for label in self._parts(cell)]

    def _new(self, label: str) -> str | None:
        """Return the new label of a label, None where it is left out."""
        assert self.mapping is not None
        new = self.mapping.get(label, self.mapping.get(OTHERS, OTHERS))
        return label if new == OTHERS else new

    def _spelled(self, label: str) -> str:
        return self._spellings.find(label) or label

    @cached_property
    def _spellings(self) -> Spellings:
        return Spellings(self.mapping or ())

    def _mapped(self, cell: str) -> str:
        new = [name for label in self._labels(cell) if (name := self._new(label)) is not None]
        return (self.separator or "").join(dict.fromkeys(new))


def _canonical(cells: pd.Series[Any]) -> pd.Series[str]:
    """Return cells as text in its canonical form, each distinct one brought to it once."""
    texts = cells.fillna("").astype(str)
    return texts.map({text: canonical_text(text) for text in texts.unique()})


def described(left_out: Mapping[str, int]) -> str:
    """Return reasons and numbers of rows, as in "3 with no label, 2 with label 'x'"."""
    return ", ".join(f"{rows} with {reason}" for reason, rows in left_out.items())
