"""From the form in which a table holds its labels to the text of one column, as the tasks read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.data.exclude import Marked, without_marked
from foldtune.trainers.data.labels import LabelRules, RareLabels
from foldtune.trainers.data.target_forms.columns import (
    Uncertain,
    Values,
    chosen_columns,
    column_values,
    multi_hot_labels,
    needs_weights,
    one_hot_labels,
    soft_columns,
)
from foldtune.trainers.data.target_forms.list_text import ListForm, lists_of
from foldtune.trainers.data.target_forms.weights import holds_weights, weight_text
from foldtune.wording import first_few

SEPARATORS = ("|", ";", ",", "\x1f")
"""Separators between labels that were no text before, of which the first that no label has is taken."""


@dataclass(frozen=True)
class TargetForm:
    """How a table holds labels.

    Attributes:
        name: column that the tasks read.
        columns: columns of 0 and 1, a pattern of their names, or None where `name` is a column of the table.
        several: whether a row has any number of labels.
        lists: whether cells that are written as lists are lists.
        separators: separators that labels may be joined by.
        uncertain: what cells of -1 and blank ones of several labels' columns are.
        none_label: label of a row without any other; of several labels the task knows it.
        others: columns of the table that hold no labels.
    """

    name: str
    columns: tuple[str, ...] | str | None = None
    several: bool = False
    lists: bool = True
    separators: tuple[str, ...] = SEPARATORS
    none_label: str | None = None
    others: tuple[str, ...] = ()
    uncertain: Uncertain | None = None

    def missing(self, names: Sequence[str]) -> list[str]:
        """Return what is wrong with the columns that hold the labels, a line each; `names`: columns of the table."""
        return [] if self.columns is None else chosen_columns(names, self.columns, self.others)[1]


@dataclass(frozen=True)
class LabelText:
    """A table whose labels are text.

    Attributes:
        frame: the table with column `TargetForm.name`.
        separator: separator between several labels of a cell.
        notes: what should be read about the labels, a line each.
        list_form: notation of lists, None where cells were no lists.
    """

    frame: pd.DataFrame
    separator: str
    notes: tuple[str, ...] = ()
    list_form: ListForm | None = None


def label_text(frame: pd.DataFrame, form: TargetForm, source: Path | str) -> LabelText:
    """Return the table with its labels as text. Raises DataError: labels that are not in that form, with their rows."""
    if form.columns is not None:
        return _of_columns(frame, form, source)
    if form.uncertain is not None:
        raise DataError([f"{source}: data.uncertain is for columns of 0, 1 and -1; list them in data.target"])
    if form.name not in frame:
        return LabelText(frame, form.separators[0])
    if form.several and form.lists and (read := lists_of(frame, form.name, source)) is not None:
        rows, notation = read
        text = join_labels(frame, form, rows, {label for row in rows for label in row})
        note = f"column '{form.name}': its cells are lists, whose items are the labels"
        return replace(text, list_form=notation, notes=(note,))
    if form.none_label is not None and not form.several:
        cells = frame[form.name].fillna("").astype(str)
        none = weight_text({form.none_label: 1.0}) if holds_weights(frame, form.name) else form.none_label
        return LabelText(frame.assign(**{form.name: cells.where(cells.str.strip() != "", none)}), "")
    return LabelText(frame, form.separators[0])


def _of_columns(frame: pd.DataFrame, form: TargetForm, source: Path | str) -> LabelText:
    assert form.columns is not None
    columns, problems = chosen_columns([str(name) for name in frame.columns], form.columns, form.others)
    if problems:
        raise DataError([f"{source}: {text}" for text in problems])
    values = column_values(frame, columns, source)
    if needs_weights(values, several=form.several, uncertain=form.uncertain):
        return _weighted(frame, form, columns, values, source)
    if form.several:
        text = join_labels(frame, form, multi_hot_labels(values, columns, source), columns)
        if blank := int(frame[list(columns)].isna().to_numpy().sum()):
            note = f"{blank} of {values.size} cells of the columns of data.target are empty, taken as 0"
            return replace(text, notes=(*text.notes, note))
        return text
    labels = pd.Series(one_hot_labels(values, columns, source, form.none_label), index=frame.index, dtype=object)
    return LabelText(frame.assign(**{form.name: labels.where(labels != "")}), "", _unseen(columns, set(labels)))


def _weighted(
    frame: pd.DataFrame, form: TargetForm, columns: Sequence[str], values: Values, source: Path | str
) -> LabelText:
    try:
        found = soft_columns(values, columns, several=form.several, uncertain=form.uncertain)
    except DataError as error:
        raise DataError([f"{source}: {text}" for text in error.problems]) from None
    if found.are_hard:
        text = join_labels(frame, form, found.labels(), columns)
        return replace(text, notes=(*found.notes, *text.notes))
    cells = pd.Series(found.texts(), index=frame.index, dtype=object)
    if form.none_label is not None and not form.several:
        cells = cells.where(found.weights.any(axis=1) | found.empty, weight_text({form.none_label: 1.0}))
    used = {name for name, weights in zip(columns, found.weights.T, strict=True) if (weights > 0).any()}
    separator = join_labels(frame.iloc[:0], form, [], columns).separator
    notes = (*found.notes, *_unseen(columns, used))
    return LabelText(frame.assign(**{form.name: cells.where(cells != "")}), separator, notes)


def join_labels(
    frame: pd.DataFrame, form: TargetForm, rows: Sequence[Sequence[str]], names: Iterable[str]
) -> LabelText:
    """Return the table with the labels of each row joined by the first separator that no name has."""
    names = tuple(names)
    free = [each for each in form.separators if not any(each in name for name in names)]
    separator = free[0] if free else form.separators[0]
    cells = pd.Series([separator.join(row) for row in rows], index=frame.index, dtype=object)
    used = {name for row in rows for name in row}
    return LabelText(frame.assign(**{form.name: cells}), separator, _unseen(names, used))


def _unseen(columns: Sequence[str], seen: set[str]) -> tuple[str, ...]:
    absent = [name for name in columns if name not in seen]
    if not absent:
        return ()
    several = "columns are" if len(absent) > 1 else "column is"
    return (f"{len(absent)} {several} 1 in no row and no class: {first_few(absent)}",)


@dataclass(frozen=True)
class LabelReading:
    """How labels of a table are read.

    Attributes:
        form: how the table holds them.
        mapping, on_missing, rare: rules for them, as of `LabelRules`.
        marked: rows that are left out whatever their labels.
        id_column, case_column: columns by which they are found; None without cases.
    """

    form: TargetForm
    mapping: Mapping[str, str | None] | None = None
    on_missing: str = "error"
    rare: RareLabels | None = None
    marked: Marked = field(default_factory=Marked)
    id_column: str = "image"
    case_column: str | None = None

    def unmarked(self, frame: pd.DataFrame, source: Path | str) -> tuple[pd.DataFrame, dict[str, int]]:
        """The rows that are not marked, and how many are, by reason. Raises DataError."""
        return without_marked(frame, self.id_column, self.marked, source, self.case_column)

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
