"""Metrics of several predictors on the same labelled rows, as a terminal table."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text

from foldtune.results.runs.records import Mode
from foldtune.results.tables.columns import titled
from foldtune.results.tables.formatting import metric_text
from foldtune.results.tables.leaderboard_table import BEST_STYLE


def scores_table(
    figures: Mapping[str, Mapping[str, float]], metric: str, modes: Mapping[str, Mode], note: str = ""
) -> Group:
    """Return one row per metric, the run's own first, and one column per predictor of ``figures``.

    ``figures`` is {predictor: {metric: value}}; the best value of a row is bold. ``note`` is a line below.
    """
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in figures:
        table.add_column(name, justify="right")
    for name in [metric, *(name for name in modes if name != metric)]:
        values = [row[name] for row in figures.values()]
        best = max(values) if modes[name] == "max" else min(values)
        cells = [Text(metric_text(value), style=BEST_STYLE if value == best else "") for value in values]
        table.add_row(Text(name, style="bold" if name == metric else ""), *cells)
    titled_table = titled("on the held labels", table)
    return Group(titled_table, Text(note, style="dim")) if note else titled_table
