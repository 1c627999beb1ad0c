"""The steps from the labels of a table to the text that a task encodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldtune.trainers.data.exclude import without_marked
from foldtune.trainers.data.labels import LabelRules
from foldtune.trainers.data.rare_labels import RareLabels
from foldtune.trainers.data.target_forms.label_text import LabelText, TargetForm, label_text


@dataclass(frozen=True)
class LabelReading:
    """How labels of a table are read.

    Attributes:
        form: how the table holds them.
        mapping, on_missing, rare: rules for them, as of `LabelRules`.
        marked: ids, in their canonical form, of rows that are left out whatever their labels.
        id_column: column of the ids.
    """

    form: TargetForm
    mapping: Mapping[str, str | None] | None = None
    on_missing: str = "error"
    rare: RareLabels | None = None
    marked: frozenset[str] = frozenset()
    id_column: str = "image"

    def unmarked(self, frame: pd.DataFrame, source: Path | str) -> tuple[pd.DataFrame, dict[str, int]]:
        """The rows that are not marked, and how many are, by reason. Raises DataError."""
        return without_marked(frame, self.id_column, self.marked, source)

    def text(self, frame: pd.DataFrame, source: Path | str) -> LabelText:
        """The table with its labels as text; raises DataError for labels that are not in that form."""
        return label_text(frame, self.form, source)

    def rules(self, separator: str) -> LabelRules:
        """The rules for labels as text; of label lists with a separator each label has them."""
        own = separator if self.form.several else None
        return LabelRules(self.form.name, self.mapping, self.on_missing, own, self.rare)

    def apply(self, frame: pd.DataFrame, source: Path | str) -> tuple[pd.DataFrame, dict[str, int]]:
        """The rows that stay with their labels as text, and how many were left out, by reason. Raises DataError."""
        frame, marked = self.unmarked(frame, source)
        text = self.text(frame, source)
        kept, left_out = self.rules(text.separator).apply(text.frame, source)
        return kept, {**marked, **left_out}
