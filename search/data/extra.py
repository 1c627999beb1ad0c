"""Rows of `data.extra`, which lie in every training part and in no fold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldtune.errors import DataError
from foldtune.results.tables.formatting import counted
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.config.sections.extra_section import ExtraRows, prefix_of
from foldtune.search.data.label_forms import label_reading
from foldtune.search.data.marks import marked_rows
from foldtune.search.data.rows import layout_of, read_rows
from foldtune.trainers.data import joined
from foldtune.trainers.data.table import Table, read_table
from foldtune.trainers.tasks import Task
from foldtune.wording import first_few


def with_extra(data: DataConfig, task: Task, table: Table, *, merge: bool = True) -> Table:
    """Return labelled rows with those of `data.extra` behind them; `merge` is of `read_table`.

    Raises:
        DataError: `data.extra.N: problem` each: labels that the task does not have, images that are training rows, too.
    """
    problems: list[str] = []
    for number, entry in enumerate(data.extra, start=1):
        try:
            extra = _read(data, task, entry, prefix_of(number), merge=merge)
            table = joined.with_extra(table, extra, entry.weight, entry.table)
        except DataError as error:
            problems += [f"data.extra.{number}: {text}" for text in error.problems]
    if problems:
        raise DataError(problems)
    return table


def extra_notes(data: DataConfig, task: Task, table: Table) -> tuple[str, ...]:
    """Return a line on the rows of each entry of `data.extra`: how many, their weight, and the classes they lack."""
    lines = []
    for number, entry in enumerate(data.extra, start=1):
        assert table.targets is not None
        rows = np.char.startswith(table.ids, prefix_of(number))
        lacks = [name for name, count in task.support(table.targets[rows]).items() if not count]
        none = f"; none of them is {first_few(lacks, 10)}" if lacks else ""
        lines.append(
            f"data.extra: {counted(int(rows.sum()), 'row')} of {entry.table.name} only ever train, with "
            f"{entry.weight:g} of their loss; class weights, samplers and priors count them as rows{none}"
        )
    return tuple(lines)


def _read(data: DataConfig, task: Task, entry: ExtraRows, prefix: str, *, merge: bool) -> Table:
    data = data if entry.images is None else data.model_copy(update={"images": entry.images})
    source = read_rows(data, task, entry.table)
    group, case = (name if name in source.frame else None for name in (data.group, data.case_column))
    layout = replace(layout_of(data, source, group), case_column=case, split_column=source.split_column)
    reading = replace(label_reading(data, task), rare=None, marked=marked_rows(data).under(prefix))
    if entry.target_map is not None:
        reading = replace(reading, mapping=entry.target_map)
        text = reading.text(reading.unmarked(source.frame, entry.table)[0], entry.table)
        reading.rules(text.separator).check_names(text.frame, entry.table)
    table = read_table(entry.table, layout, task, labels=reading, frame=source.frame, merge=merge)
    ids = np.char.add(prefix, table.ids)
    cases = table.cases if case is not None or data.case_column is None else ids
    grouped = data.group is not None or cases is not None
    groups = table.groups if table.groups is not None or not grouped else ids
    return replace(table, ids=ids, groups=groups, cases=cases, notes=(*source.notes, *table.notes))
