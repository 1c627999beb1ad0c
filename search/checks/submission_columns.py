"""The columns of a submission, filled with predictions and scores, and labels as a sample writes them."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from foldtune.canonical import Spellings
from foldtune.trainers.tasks import Task
from foldtune.wording import shortened

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

_SEPARATORS = ("|", ",", ";", " ", "/")
_SPELLINGS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.lower,
    str.capitalize,
    str.title,
    lambda label: f"{label}.0" if label.isdigit() else label,
    lambda label: label.removesuffix(".0"),
)


class ClassNames:
    """Finds the class that a text means: its exact name, its canonical form, or in another case where that is one's."""

    def __init__(self, labels: Sequence[str]) -> None:
        self._spellings = Spellings(labels)
        folded: dict[str, set[str]] = {}
        for label in labels:
            folded.setdefault(label.strip().casefold(), set()).add(label)
        self._folded = {form: of.pop() for form, of in folded.items() if len(of) == 1}

    def find(self, text: str) -> str | None:
        """Return the class, None where there is none."""
        return self._spellings.find(text) or self._folded.get(text.strip().casefold())


@dataclass(frozen=True)
class LabelText:
    """How labels are written.

    Attributes:
        spelled: label → text, of those that are written in another way.
        separator: text between several labels of a cell; "python" and "json" write a list; None: as in training.
    """

    spelled: Mapping[str, str] = field(default_factory=dict)
    separator: str | None = None

    def join(self, labels: Sequence[str]) -> str:
        """Return the cell of several labels."""
        names = [self.spelled.get(label, label) for label in labels]
        if self.separator == "python":
            return str(names)
        return json.dumps(names, ensure_ascii=False) if self.separator == "json" else (self.separator or "").join(names)

    def mapping(self, values: Mapping[str, float]) -> str:
        """Return the cell of a mapping, in Python's or JSON's notation."""
        return json.dumps(values, ensure_ascii=False) if self.separator == "json" else str(dict(values))


def label_text(labels: Sequence[str], cells: Sequence[str]) -> LabelText:
    """Return how the sample's cells of one label each spell them."""
    return LabelText(_spelling(labels, [cell for cell in cells if cell]))


def list_text(labels: Sequence[str], cells: Sequence[str], own: str) -> tuple[LabelText, tuple[str, ...]]:
    """Return how the sample's cells of label lists are written, and a line where they do not show it.

    Args:
        own: separator of the training labels.
    """
    filled = list(dict.fromkeys(cell.strip() for cell in cells if cell.strip()))
    lists = _lists(filled)
    if lists is not None:
        style = "json" if any('"' in cell for cell in filled) else "python"
        return LabelText(_spelling(labels, [name for names in lists for name in names]), style), ()
    names = ClassNames(labels)
    for separator in dict.fromkeys((own, *_SEPARATORS)):
        parts = [[part.strip() for part in cell.split(separator)] for cell in filled]
        flat = [part for of in parts for part in of if part]
        if any(len(of) > 1 for of in parts) and all(names.find(part) is not None for part in flat):
            spaced = all(f"{separator} " in cell for cell in filled if separator in cell) and separator != " "
            return LabelText(_spelling(labels, flat), f"{separator} " if spaced else separator), ()
    shown = f"{shortened(repr(filled[0]))} in the sample" if filled else "the sample"
    return LabelText(), (f"several labels of a row are written as in training: {shown} shows no separator",)


def _lists(cells: Sequence[str]) -> list[list[str]] | None:
    """Return the lists that all cells are written as, None where one is not."""
    if not cells or not all(cell.startswith("[") and cell.endswith("]") for cell in cells):
        return None
    found = []
    for cell in cells:
        value: object = None
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = json.loads(cell) if '"' in cell else ast.literal_eval(cell)  # literals alone, nothing is run
        if not isinstance(value, list):
            return None
        found.append([str(name) for name in value])
    return found


def _spelling(labels: Sequence[str], texts: Sequence[str]) -> dict[str, str]:
    """Return label → its spelling where it differs: as shown, and of labels that are not shown by the same rule."""
    names = ClassNames(labels)
    shown: dict[str, str] = {}
    for text in dict.fromkeys(texts):
        if (label := names.find(text)) is not None:
            shown.setdefault(label, text)
    rule = next((each for each in _SPELLINGS if all(each(label) == text for label, text in shown.items())), str)
    spelled = {label: rule(label) for label in labels} | shown
    return {label: text for label, text in spelled.items() if text != label}


_DECIMALS = 6
"""Decimals of the probabilities in a mapping."""


class Content(Enum):
    """What the columns beside the id hold."""

    LABELS = "labels"
    PROBABILITIES = "probabilities"
    INDICATORS = "1 for each predicted class, else 0"
    MAPPINGS = "a mapping from each class to its probability"
    OBJECTS = "places in the image"


@dataclass(frozen=True)
class SubmissionForm:
    """How predictions fill the columns of a submission.

    Attributes:
        columns: names of the columns to fill.
        content: what these hold.
        classes: column, or key of a mapping → class whose probability or indicator it holds, None for one that
            training lacks.
        text: how labels are written.
        decimals: whether indicators are written 1.0 and 0.0.
        notes: what was decided, a line each.
    """

    id_column: str
    columns: tuple[str, ...]
    content: Content
    classes: Mapping[str, str | None] = field(default_factory=dict)
    text: LabelText = field(default_factory=LabelText)
    decimals: bool = False
    notes: tuple[str, ...] = ()

    def fill(
        self,
        task: Task,
        ids: Sequence[str] | npt.NDArray[np.str_],
        predictions: npt.NDArray[Any],
        *,
        scores: npt.NDArray[Any] | None = None,
        image_sizes: npt.NDArray[np.int64] | None = None,
    ) -> pd.DataFrame:
        """Return the rows of a submission in the order of `ids` (N,): the id column, then the columns.

        Args:
            scores: scores (N, ...), for probabilities; without them predictions count as such.
            image_sizes: (N, 2) heights and widths of the original pictures in pixels, for places in the image.

        Raises:
            DataError: columns of places that the task cannot fill.
        """
        if self.content is Content.OBJECTS:
            names = [self.id_column, *self.columns]
            return task.submission_frame(ids, predictions, names, scores=scores, image_sizes=image_sizes)
        if self.content is Content.LABELS:
            frame = task.submission_frame(ids, predictions, [self.id_column, target_of(task)])
            return frame.set_axis([self.id_column, *self.columns], axis=1).assign(
                **{self.columns[0]: self._labels(task, predictions, frame.iloc[:, 1])}
            )
        values = _by_class(task, predictions, None if self.content is Content.INDICATORS else scores)
        if self.content is Content.INDICATORS:
            values = values.round().astype(float if self.decimals else int)
        zero = 0 if self.content is Content.INDICATORS and not self.decimals else 0.0
        columns = {name: zero if label is None else values[label] for name, label in self.classes.items()}
        filled = values[[]].assign(**columns)
        if self.content is Content.MAPPINGS:
            rows = filled.to_numpy(dtype=float).round(_DECIMALS).tolist()
            cells = [self.text.mapping(dict(zip(columns, row, strict=True))) for row in rows]
            filled = values[[]].assign(**{self.columns[0]: cells})
        filled.insert(0, self.id_column, list(ids), allow_duplicates=True)
        return filled

    def _labels(self, task: Task, predictions: npt.NDArray[Any], named: pd.Series) -> list[str] | pd.Series:
        if self.text.separator is not None:
            names, none = np.asarray(task.label_names, dtype=object), none_labels(task)
            return [self.text.join(list(names[row]) or none) for row in predictions.astype(bool)]
        return named.map(lambda label: self.text.spelled.get(label, label)) if self.text.spelled else named


def target_of(task: Task) -> str:
    """Return the name of the task's column of labels."""
    return str(getattr(task, "target", "label"))


def separator_of(task: Task) -> str | None:
    """Return the separator of a task of label lists, None of any other."""
    return getattr(task, "label_separator", None)


def none_labels(task: Task) -> list[str]:
    """Return the label of a row without any other, of a task of label lists that has one."""
    label = getattr(task, "none_label", None)
    return [] if label is None else [label]


def _by_class(task: Task, predictions: npt.NDArray[Any], scores: npt.NDArray[Any] | None) -> pd.DataFrame:
    """Return a column a class: probabilities, or 0 and 1 without scores."""
    import pandas as pd

    if task.label_names == (target_of(task),):  # a column of that name would hold labels
        return pd.DataFrame({task.label_names[0]: (predictions if scores is None else scores)[:, 0]})
    names = ["", *task.label_names, *none_labels(task)]
    frame = task.submission_frame([""] * len(predictions), predictions, names, scores=scores)
    return frame.iloc[:, 1:]
