"""The sample submission against the rows to submit, the task, and the targets that share it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from foldtune.canonical import canonical_text
from foldtune.errors import DataError, InputError, SubmissionError
from foldtune.ids import match_ids
from foldtune.results.exports.submission import is_echoed, read_sample
from foldtune.results.tables.formatting import counted
from foldtune.search.checks.submission_columns import Content, SubmissionForm
from foldtune.search.checks.submission_form import id_column_of, submission_form
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.trainers.data.table import Table
from foldtune.trainers.tasks import Task
from foldtune.wording import shortened, unknown

if TYPE_CHECKING:
    import pandas as pd


def checked_sample(data: DataConfig, test: Table | None) -> pd.DataFrame | None:
    """Return the sample submission as text, None where the configuration names none.

    Args:
        test: rows to submit, None where they could not be read.

    Raises:
        InputError: it cannot be read, there are no rows to submit, or its ids are others.
    """
    path = data.sample_submission
    if path is None:
        return None
    if data.test is None:
        raise InputError("data.test: missing; data.sample_submission needs the rows to submit")
    try:
        sample = read_sample(path, data.encoding)
    except SubmissionError as error:
        raise InputError(f"data.sample_submission: {error}") from None
    if test is not None:
        ids = sample[id_column_of(list(sample.columns), data.judged_column)]
        _same_ids(list(map(canonical_text, ids)), test.judged_ids.tolist(), data)
    return sample


def id_notes(data: DataConfig, sample: pd.DataFrame | None, test: Table | None) -> tuple[str, ...]:
    """Return a line where the sample writes ids in another way than the table of the rows to submit."""
    if sample is None or test is None:
        return ()
    pairs = match_ids(
        map(canonical_text, sample[id_column_of(list(sample.columns), data.judged_column)]), test.judged_ids.tolist()
    )
    other = [(written, name) for written, name in pairs.items() if written != name]
    if not other:
        return ()
    written, name = (shortened(repr(text)) for text in other[0])
    what = f"{counted(len(other), 'id')} of the sample submission"
    return (f"{what} written in another way than in data.test (first: {written} for {name}); they go back as there",)


def submission_notes(
    data: DataConfig, task: Task, metric: str, sample: pd.DataFrame | None, target: str | None
) -> tuple[str, ...]:
    """Return what the submission's columns will hold, where that is not plain, a line each.

    Args:
        sample: cells as text, None without a sample.
        target: the one of several targets that the task is of, whose column of the sample is checked alone.

    Raises:
        InputError: the task cannot fill them.
    """
    column = data.target_name
    if sample is not None and target is not None:
        try:
            sample = target_part(sample, data.judged_column, target)
        except InputError:
            return ()  # the columns of all targets are checked together
        column = str(sample.columns[1])
    try:
        return form_of(data, task, metric, sample, column).notes
    except DataError as error:
        where = f"data.sample_submission: {data.sample_submission}"
        raise InputError([f"{where}: {text}" for text in error.problems]) from None


def form_of(
    data: DataConfig, task: Task, metric: str, sample: pd.DataFrame | None, column: str | None = None
) -> SubmissionForm:
    """Return the form of the sample's columns; without a sample that of the labelled table.

    Args:
        sample: cells as text, None without a sample.
        column: column of labels, by default that of the configuration.

    Raises:
        DataError: columns that the task cannot fill.
    """
    if sample is not None or data.target_columns is None:
        return submission_form(task, metric, sample, id_column=data.judged_column, target=column or data.target_name)
    order = {name: place for place, name in enumerate(data.listed_columns)}
    names = tuple(sorted(task.label_names, key=lambda name: order.get(name, len(order))))
    note = "the submission has a column a label, as data.target has, of probabilities"
    classes = {name: name for name in names}
    return SubmissionForm(data.judged_column, names, Content.PROBABILITIES, classes, notes=(note,))


def _same_ids(sample: Sequence[str], test: Sequence[str], data: DataConfig) -> None:
    pairs = match_ids(sample, test)
    of_test = set(test) - set(pairs.values())
    paths = {"data.test": data.test, "data.sample_submission": data.sample_submission}
    for names, where, other in (
        (set(sample) - pairs.keys(), "data.test", "data.sample_submission"),
        (of_test, "data.sample_submission", "data.test"),
    ):
        if names:
            raise InputError(
                f"{where}: {paths[where]} lacks {counted(len(names), 'id')} that {other}, {paths[other]}, has (first: "
                f"{min(names)}); a submission predicts every id of the sample, and no other"
            )


def target_columns(columns: Sequence[str], id_column: str, targets: Sequence[str]) -> dict[str, str]:
    """Return the sample's name, which may be in another case, of the id column and of each target's column.

    Raises:
        InputError: a target without a column, or a column of no target.
    """
    ids = id_column_of(columns, id_column)
    own = {name.strip().casefold(): name for name in columns if name != ids and not is_echoed(name)}
    found = {target: own.pop(target.casefold()) for target in targets if target.casefold() in own}
    if own or len(found) < len(targets):
        raise InputError(f"the columns {', '.join(columns)}; these targets fill {', '.join([id_column, *targets])}")
    return {id_column: ids, **found}


def target_part(sample: pd.DataFrame, id_column: str, target: str) -> pd.DataFrame:
    """Return the id column of a sample and the column of a target.

    Raises:
        InputError: it has none.
    """
    ids = id_column_of(list(sample.columns), id_column)
    names = {name.strip().casefold(): name for name in sample.columns if name != ids}
    if target.casefold() not in names:
        raise InputError(unknown("column", target, names.values()))
    return sample[[ids, names[target.casefold()]]]
