"""How the configuration has labels read: their form in the table, the rules for them, and rows that are left out."""

from __future__ import annotations

from dataclasses import replace

from foldtune.errors import DataError, InputError
from foldtune.search.config.data_section import DataConfig
from foldtune.trainers.data.exclude import EXCLUDED, read_marked
from foldtune.trainers.data.labels import RareLabels
from foldtune.trainers.data.table import Table
from foldtune.trainers.data.target_forms.label_text import SEPARATORS, LabelReading, TargetForm
from foldtune.trainers.data.target_forms.list_text import is_list
from foldtune.trainers.tasks import Task


def check_marked(data: DataConfig) -> None:
    """Raise InputError where the table of marks is gone, or not one."""
    if data.exclude is not None and not data.exclude.is_file():
        raise InputError(f"data.exclude: {data.exclude}: no such file")
    marked_ids(data)


def marked_ids(data: DataConfig) -> frozenset[str]:
    """Return the ids of marked rows; none where the table is gone, as for a run that has its rows already.

    Raises:
        InputError: what is wrong with the table.
    """
    if data.exclude is None or not data.exclude.is_file():
        return frozenset()
    try:
        return read_marked(data.exclude)
    except DataError as error:
        raise InputError([f"data.exclude: {text}" for text in error.problems]) from None


def marks_notes(data: DataConfig, table: Table) -> tuple[str, ...]:
    """Return the line on marks that no row has."""
    marked, found = len(marked_ids(data)), table.left_out.get(EXCLUDED, 0)
    if found >= marked:
        return ()
    return (f"data.exclude: {marked} images are marked in {data.exclude}, {found} of them are rows of {data.train}",)


def target_form(data: DataConfig, task: type[Task] | Task) -> TargetForm:
    """Return the form of the labels; a task that is known already has its separator, and may have brackets in names."""
    several = "label_separator" in task.option_names
    known = getattr(task, "label_separator", None) if isinstance(task, Task) else None
    lists = not (isinstance(task, Task) and any(map(is_list, task.trained_names)))
    separators = (known,) if known else tuple(dict.fromkeys([data.label_separator, *SEPARATORS]))
    own = (data.image_column, data.case_column, data.group, data.fold, data.split)
    others = tuple(name for name in own if name is not None)
    form = TargetForm(data.target_name, data.target_columns, several, lists, separators, data.none_label, others)
    return replace(form, uncertain=data.uncertain)


def label_reading(data: DataConfig, task: type[Task] | Task) -> LabelReading:
    """Return the steps from the labels of a table to what the task encodes."""
    known = task.trained_names if isinstance(task, Task) else None
    rare = RareLabels(data.min_rows, known) if data.min_rows > 1 else None
    return LabelReading(
        target_form(data, task), data.target_map, data.on_missing, rare, marked_ids(data), data.image_column
    )
