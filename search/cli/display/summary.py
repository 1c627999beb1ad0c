"""Summary of a checked configuration, as tables."""

from __future__ import annotations

import numpy as np
from rich.console import Group
from rich.table import Table
from rich.text import Text

from foldtune.results.tables.columns import titled
from foldtune.results.tables.formatting import counted
from foldtune.search.runs.validation import Checked
from foldtune.trainers.data.labels import described


def summary(checked: Checked) -> Group:
    """Return the rows, the classes in each fold, the search space and the budget of a checked configuration."""
    config, table = checked.config, checked.table
    head = Text.assemble(
        (config.name, "bold"),
        f": {config.task}, {len(table)} rows, {len(checked.test) if checked.test else 0} to submit, "
        f"{config.data.size[0]}x{config.data.size[1]} px",
    )
    search = config.search
    stop = f"ASHA after {counted(search.grace, 'epoch')}" if search.trial_scheduler == "asha" else "none stopped early"
    trials = f"{counted(search.num_samples, 'trial')} of at most {counted(search.max_epochs, 'epoch')}"
    budget = Text(
        f"{trials} ({stop}), by {checked.goal.metric}; "
        f"then the best {config.ensemble.top} on {config.ensemble.folds} folds, {config.ensemble.voting} voting"
    )
    if table.left_out:
        head.append(f" ({counted(sum(table.left_out.values()), 'row')} left out: {described(table.left_out)})")
    for warning in checked.task.label_warnings:
        head.append(f"\n{warning}")
    notes = [Text(f"note: {note}") for note in checked.notes]
    return Group(head, budget, *notes, _classes(checked), _space(checked), Text("valid", style="bold green"))


def _classes(checked: Checked) -> Group:
    table = Table(box=None, pad_edge=False)
    for column in ("class", "rows", "least in a fold"):
        table.add_column(column, justify="left" if column == "class" else "right")
    targets = checked.table.targets
    assert targets is not None
    total = checked.task.support(targets)
    folds = [
        checked.task.support(targets[checked.folds == fold]) for fold in np.unique(checked.folds[checked.folds >= 0])
    ]
    for name, rows in sorted(total.items(), key=lambda item: -item[1]):
        table.add_row(name, str(rows), str(min(fold[name] for fold in folds)))
    return titled("rows of each class", table)


def _space(checked: Checked) -> Group:
    table = Table(box=None, pad_edge=False)
    for column in ("parameter", "kind", "range", "where"):
        table.add_column(column, no_wrap=column in ("parameter", "kind"), overflow="fold")
    for row in checked.space.describe():
        table.add_row(row.name, row.kind, row.range, row.condition or "")
    return titled("search space", table)
