"""The columns of a submission, filled with predictions and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np

from foldtune.search.checks.label_text import LabelText
from foldtune.trainers.tasks import Task

if TYPE_CHECKING:
    import numpy.typing as npt
    import pandas as pd

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
        id_column: name of the column of ids.
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
            predictions: predictions (N, ...).
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
