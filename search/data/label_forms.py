"""How the configuration has labels read: their form in the table, and the rules for them."""

from __future__ import annotations

from dataclasses import replace

from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.data.marks import marked_rows
from foldtune.trainers.data.labels import RareLabels
from foldtune.trainers.data.target_forms.label_text import SEPARATORS, LabelReading, TargetForm
from foldtune.trainers.data.target_forms.list_text import is_list
from foldtune.trainers.tasks import Task


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


def named_by_target(data: DataConfig, text: str) -> str:
    """Return a line on the labels; where they are of several columns it names the key, not one column."""
    return text.replace(f"column '{data.target_name}'", data.target_described)


def label_reading(data: DataConfig, task: type[Task] | Task) -> LabelReading:
    """Return the steps from the labels of a table to what the task encodes."""
    known = task.trained_names if isinstance(task, Task) else None
    rare = RareLabels(data.min_rows, known) if data.min_rows > 1 else None
    form, marked = target_form(data, task), marked_rows(data)
    return LabelReading(form, data.target_map, data.on_missing, rare, marked, data.image_column, data.case_column)
