"""What the columns of a submission are to hold, by the sample and the metric."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from foldtune.errors import DataError
from foldtune.results.exports.submission import is_echoed
from foldtune.search.checks.submission_columns import (
    ClassNames,
    Content,
    LabelText,
    SubmissionForm,
    label_text,
    list_text,
    none_labels,
    separator_of,
)
from foldtune.trainers.data.target_forms.weights import is_mapping_text, parse_weights
from foldtune.trainers.tasks import Task
from foldtune.wording import did_you_mean, first_few, shortened, unknown

if TYPE_CHECKING:
    import pandas as pd


def submission_form(
    task: Task, metric: str, sample: pd.DataFrame | None, *, id_column: str, target: str
) -> SubmissionForm:
    """Return the form of the sample's columns; without a sample one of an id and a label, or of boxes.

    Args:
        metric: what was optimised: by one of scores, a column of numbers takes scores.
        sample: cells as text, one row an id.
        id_column: name of the id column, which is the sample's first where it has none of that name.

    Raises:
        DataError: columns that the task cannot fill.
    """
    content = Content.OBJECTS if task.has_spatial_targets else Content.LABELS
    if sample is None:
        form = SubmissionForm(id_column, (target,), content)
        return form if content is Content.OBJECTS else replace(form, notes=_label_notes(task, metric, None))
    id_column = id_column_of(list(sample.columns), id_column)
    columns = tuple(name for name in sample.columns if name != id_column and not is_echoed(name))
    if content is Content.OBJECTS:
        return SubmissionForm(id_column, columns, content)
    if not columns:
        raise DataError([f"the sample has no column beside {id_column!r}; {_forms(task)}"])
    if len(columns) > 1:
        return _class_columns(task, metric, sample, id_column, columns)
    return _one_column(task, metric, sample, id_column, columns[0], target)


def id_column_of(columns: Sequence[str], preferred: str) -> str:
    """Return the sample's column of ids: the preferred one, else the first that is not only echoed."""
    return preferred if preferred in columns else next((name for name in columns if not is_echoed(name)), columns[0])


def _one_column(
    task: Task, metric: str, sample: pd.DataFrame, id_column: str, column: str, target: str
) -> SubmissionForm:
    cells = sample[column].astype(str).tolist()
    if any(map(is_mapping_text, cells)):
        return _mappings(task, cells, id_column, column)
    named = ClassNames(task.label_names).find(column)
    if named is not None and (column != target or (holds_fractions(task, cells) and not task.has_single_score)):
        note = f"column {shortened(repr(column))} of the submission holds the probability of that class"
        return SubmissionForm(id_column, (column,), Content.PROBABILITIES, {column: named}, notes=(note,))
    if takes_scores(task, metric, cells):
        positive = positive_of(task)
        of = "" if len(task.label_names) == 1 else f" of the label {shortened(repr(positive))}"
        why = f"the metric {metric} is of scores, the sample holds numbers"
        why = "the sample holds fractions" if holds_fractions(task, cells) else why
        note = f"the submission holds scores{of}: {why}"
        return SubmissionForm(id_column, (column,), Content.PROBABILITIES, {column: positive}, notes=(note,))
    if holds_fractions(task, cells):
        example = next(cell for cell in cells if cell.strip())
        raise DataError(
            [
                f"column {shortened(repr(column))} of the sample holds fractions ({shortened(example)}), and "
                f"one column cannot hold the scores of several classes: {_forms(task)}; a column that is named after "
                "one class gets its probability"
            ]
        )
    separator, notes = separator_of(task), _label_notes(task, metric, cells)
    if separator is None:
        _refuse_lists(task, cells, column)
        return SubmissionForm(
            id_column, (column,), Content.LABELS, text=label_text(task.label_names, cells), notes=notes
        )
    text, more = list_text([*task.label_names, *none_labels(task)], cells, separator)
    return SubmissionForm(id_column, (column,), Content.LABELS, text=text, notes=(*notes, *more))


def _refuse_lists(task: Task, cells: Sequence[str], column: str) -> None:
    """Raise DataError where cells are several labels of a task that gives one a row."""
    names = ClassNames(task.label_names)
    for cell in dict.fromkeys(cells):
        parts = [part.strip() for part in re.split(r"[,;|\s]+", cell) if part.strip()]
        if len(parts) > 1 and names.find(cell) is None and all(names.find(part) is not None for part in parts):
            raise DataError(
                [
                    f"column {shortened(repr(column))} of the sample holds several labels a row "
                    f"({shortened(repr(cell))}), and the task {task.name} gives one: take the task multilabel, or a "
                    "sample with one label a row"
                ]
            )


def _mappings(task: Task, cells: Sequence[str], id_column: str, column: str) -> SubmissionForm:
    """Return the form of cells such as ``{'a': 0.4, 'b': 0.6}``: the probabilities of the classes that they name."""
    names, given = ClassNames(task.label_names), dict.fromkeys(cells)
    keys: dict[str, str | None] = {}
    for cell in given:
        try:
            keys |= {name: names.find(name) for name in parse_weights(cell)}
        except ValueError as error:
            raise DataError([f"column {shortened(repr(column))} of the sample: {error}"]) from None
    strange = [name for name, label in keys.items() if label is None]
    if strange and (len(strange) == len(keys) or set(task.label_names) - set(keys.values())):
        raise DataError(
            [f"column {shortened(repr(column))} of the sample: {unknown('class', strange[0], task.label_names)}"]
        )
    style = "json" if any('"' in cell for cell in given) else "python"
    lines = [f"the probabilities of {first_few(strange)} are 0: no training row has such a label"] if strange else []
    if keys and (lacking := [label for label in task.label_names if label not in keys.values()]):
        lines.append(f"the sample's mappings lack {first_few(lacking)}: their probabilities are left out")
    classes = keys or {label: label for label in task.label_names}
    text = LabelText(separator=style)
    return SubmissionForm(id_column, (column,), Content.MAPPINGS, classes, text, notes=tuple(lines))


def _class_columns(
    task: Task, metric: str, sample: pd.DataFrame, id_column: str, columns: tuple[str, ...]
) -> SubmissionForm:
    names = ClassNames([*task.label_names, *none_labels(task)])
    classes = {column: names.find(column) for column in columns}
    strange = [column for column, label in classes.items() if label is None]
    lacking = [label for label in task.label_names if label not in classes.values()]
    if len(strange) == len(columns) or (strange and lacking):
        meant = did_you_mean(strange[0], lacking)
        reason = f"no class is called {shortened(repr(strange[0]))}{meant}"
        raise DataError([f"columns {id_column}, {', '.join(columns)}: {reason}; {_forms(task)}"])
    known = [label for label in classes.values() if label is not None]
    if len(set(known)) < len(known):
        twice = next(label for label in known if known.count(label) > 1)
        raise DataError([f"columns {', '.join(columns)}: two of them are the class {shortened(repr(twice))}"])
    notes = []
    if strange:
        notes.append(f"the submission's columns {first_few(strange)} are 0: no training row has such a label")
    if lacking:
        notes.append(f"the sample has no column of {first_few(lacking)}: their probabilities are left out")
    cells = sample[list(columns)].astype(str)
    several = separator_of(task) is not None
    shows = _shows_indicators(cells, several)
    content = Content.INDICATORS if shows and metric in task.tunable_metrics else Content.PROBABILITIES
    if shows:
        metric_of = "labels" if content is Content.INDICATORS else "scores"
        metric_of = f"the metric {metric} is of {metric_of}" if metric else "the metric is not known"
        notes.append(f"the submission's columns hold {content.value}: the sample shows 0 and 1, {metric_of}")
    decimals = bool(cells.apply(lambda column: column.str.contains(".", regex=False)).to_numpy().any())
    return SubmissionForm(id_column, columns, content, classes, decimals=decimals, notes=tuple(notes))


def _shows_indicators(cells: pd.DataFrame, several: bool) -> bool:
    """Whether all cells are 0 or 1, with one 1 a row; where `several` are allowed, with some 1."""
    numbers = cells.isin(("1", "1.0")).to_numpy()
    if not (numbers | cells.isin(("0", "0.0")).to_numpy()).all():
        return False
    return bool(numbers.any() if several else (numbers.sum(axis=1) == 1).all())


def takes_scores(task: Task, metric: str, cells: Iterable[str] | None) -> bool:
    """Whether one column of a submission takes scores: the sample holds fractions, or numbers by a metric of scores.

    Args:
        cells: the sample's cells of the column; None without a sample.
    """
    if cells is None or not task.has_single_score:
        return False
    cells = list(cells)
    of_scores = metric in task.metrics and metric not in task.tunable_metrics
    return holds_fractions(task, cells) or (of_scores and _are_numbers(cells))


def holds_fractions(task: Task, cells: Sequence[str]) -> bool:
    """Whether cells are numbers of which some are not whole, and none is a label."""
    if not _are_numbers(cells) or all(float(cell).is_integer() for cell in cells):
        return False
    names = ClassNames(task.label_names)
    return not any(names.find(cell) for cell in set(cells))


def _label_notes(task: Task, metric: str, cells: Sequence[str] | None) -> tuple[str, ...]:
    """Return a line where labels are written though the metric, or the sample, is of something else."""
    if metric in task.tunable_metrics:
        known = ClassNames(task.label_names)
        if cells and task.has_single_score and _are_numbers(cells) and not any(known.find(cell) for cell in cells):
            text = f"{shortened(repr(cells[0]))} in the sample is no label"
            return (f"the submission holds labels, as the metric {metric} is of labels; {text}",)
        return ()
    if metric not in task.metrics:
        return ()
    if task.has_single_score:
        why = "no sample shows numbers" if cells is None else "the sample holds no numbers"
    else:
        why = "one column cannot hold the scores of several classes: a sample with one column a class gets them"
    return (f"the submission holds labels, though the metric {metric} is of scores: {why}",)


def positive_of(task: Task) -> str:
    """Return the label whose score stands in a single column."""
    from foldtune.trainers.data.label_columns import known_positive

    return known_positive(task.label_names) or task.label_names[-1]


def _forms(task: Task) -> str:
    labels = first_few(task.label_names, 10)
    return f"{task.name} fills an id and a label column, or an id column and one a class ({labels})"


def _are_numbers(cells: Iterable[str]) -> bool:
    try:
        numbers = [float(cell) for cell in cells]
    except ValueError:
        return False
    return bool(numbers) and all(map(math.isfinite, numbers))
