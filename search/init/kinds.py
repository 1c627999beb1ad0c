"""The kind of problem by the labels: their form, their number, their order, their balance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from foldtune.search.init.columns import has_fractions
from foldtune.search.init.findings import Undecided
from foldtune.trainers.data.label_columns import joined_labels, known_positive, label_sets
from foldtune.trainers.data.target_forms.columns import UNCERTAIN, column_values, needs_weights, on_columns
from foldtune.trainers.data.target_forms.list_text import lists_of
from foldtune.trainers.data.target_forms.weights import LabelWeights, holds_weights
from foldtune.trainers.tasks.soft import SOFT_THRESHOLD
from foldtune.wording import first_few

MAX_LEVELS = 7
"""Levels that integers without a gap are taken for; more are codes of classes."""
IMBALANCED = 3.0
"""Rows of the largest class over those of the smallest, from which on losses and metric weigh the rare ones."""
_ROUNDING = 0.02
"""Distance from 1 of a sum of weights that were rounded."""
_TABLE = "the table of training rows"
"""Name of the table in messages on its cells."""
_NONE = ("no finding", "none", "normal", "healthy", "no label", "nothing")


@dataclass(frozen=True)
class Kind:
    """A kind of problem.

    Attributes:
        counts: rows of each label.
        options: further keys of `data`.
    """

    task: str
    why: str
    counts: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def imbalance(self) -> float:
        """Rows of the largest class over those of the smallest."""
        return max(self.counts.values(), default=1) / max(1, min(self.counts.values(), default=1))

    @property
    def is_imbalanced(self) -> bool:
        return self.imbalance >= IMBALANCED


def kind_of(frame: pd.DataFrame, target: Sequence[str], task: str | None, positive: str | None) -> Kind:
    """Return the kind of problem of the labels.

    Raises:
        Undecided: two labels of which neither is positive by convention; measurements.
        DataError: cells that are no labels of the form that others have.
    """
    if task is None and len(target) == 1 and has_fractions(frame, target[0]):
        some = first_few(list(frame[target[0]].dropna().unique()), 3)
        what = f"column {target[0]!r} holds measurements ({some}), no classes"
        raise Undecided(what, "--target COLUMN, or by --task TASK where each number is a class")
    kind = _of_columns(frame, target) if len(target) > 1 else _of_column(frame, target[0])
    if task is not None and task != kind.task:
        kind = Kind(task, "as stated", kind.counts, kind.options if task == "multilabel" else {})
    if kind.task == "binary":
        return _binary(kind, positive)
    return kind


def _of_columns(frame: pd.DataFrame, target: Sequence[str]) -> Kind:
    values = column_values(frame, target, _TABLE)
    unsure = values == UNCERTAIN
    if needs_weights(values, several=False):
        counts = Counter(target[place] for place in np.nan_to_num(values).argmax(axis=1))
        return Kind("multiclass", f"numbers in {len(target)} columns, one a class: soft targets", counts)
    hot = on_columns(np.where(unsure, 0, values), target, _TABLE)
    counts = Counter(dict(zip(target, hot.sum(axis=0).tolist(), strict=True)))
    if (hot.sum(axis=1) == 1).all() and not unsure.any():
        return Kind("multiclass", f"{len(target)} columns, exactly one of which is 1 in each row", counts)
    options = {"uncertain": "ignore"} if unsure.any() else {}
    return Kind("multilabel", f"{len(target)} columns of 0 and 1, several of which may be 1", counts, options)


def _of_column(frame: pd.DataFrame, name: str) -> Kind:
    if (read := lists_of(frame, name, _TABLE)) is not None:
        return Kind("multilabel", "lists of labels", Counter(label for row in read[0] for label in set(row)))
    if holds_weights(frame, name):
        weights = LabelWeights.of(frame, name, _TABLE).cells
        counts = Counter(label for cell in weights for label, weight in cell.items() if weight >= SOFT_THRESHOLD)
        why = "mappings of labels to weights: soft targets"
        if all(abs(sum(cell.values()) - 1) <= _ROUNDING for cell in weights if cell):
            why += " of several labels; their sums are 1, and --task multiclass takes them as those of one label"
        return Kind("multilabel", why, counts)
    cells = frame[name].dropna().str.strip()
    counts = Counter(cells)
    if (joined := joined_labels(counts)) is not None and joined[0] != " ":
        separator = joined[0]
        parts = Counter(label_sets(frame, name, separator, _TABLE)[0])
        none = [each for each in parts if each.lower() in _NONE and counts[each] == parts[each]]
        options = {"label_separator": separator} | ({"none_label": none[0]} if none else {})
        why = f"several labels a cell, as in {joined[1]!r}"
        return Kind("multilabel", why, {each: rows for each, rows in parts.items() if each not in none}, options)
    if len(counts) == 2:
        return Kind("binary", f"two labels, {first_few(sorted(counts))}", counts)
    levels = _levels(counts)
    if levels is not None and len(levels) <= MAX_LEVELS:
        return Kind("ordinal", f"integers {levels[0]} to {levels[-1]}, taken as levels in an order", counts)
    return Kind("multiclass", f"{len(counts)} labels, one a row", counts)


def _levels(labels: Mapping[str, int]) -> list[int] | None:
    """Return the labels as integers where they are 0, 1, 2 … or 1, 2, 3 … without a gap, else None."""
    try:
        numbers = sorted(float(label) for label in labels)
    except ValueError:
        return None
    whole = np.asarray(numbers)
    if len(whole) < 3 or whole[0] not in (0, 1) or not np.array_equal(whole, whole[0] + np.arange(len(whole))):
        return None
    return [int(number) for number in numbers]


def _binary(kind: Kind, positive: str | None) -> Kind:
    labels = sorted(kind.counts)
    if positive is not None or known_positive(labels) is not None:
        return Kind(kind.task, kind.why, kind.counts, {} if positive is None else {"positive": positive})
    raise Undecided("which of the two labels is looked for", "--positive LABEL", labels)
