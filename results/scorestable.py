"""Figures of several predictions on the same rows, side by side."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from results.columns import Column, build_table, fit_columns
from results.records import Mode
from results.tables import metric_column


def scores_table(figures: Mapping[str, Mapping[str, float]], metric: str, modes: Mapping[str, Mode]) -> Table:
    """Return one row for each predictor of ``figures`` {name: {metric: value}}; the best of each metric is bold."""
    columns = [Column("", tuple(Text(name, style="bold") for name in figures), 0, right=False)]
    ordered = [metric, *(name for name in modes if name != metric)]
    for name in ordered:
        values = [row[name] for row in figures.values()]
        columns.append(metric_column(name, values, modes[name], 0, strong=name == metric))
    fitted, _ = fit_columns(columns, None)
    return build_table(fitted, title="on the held labels")
