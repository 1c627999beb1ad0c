"""Post-processing settings given by the user with their metrics, as a terminal table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.text import Text

from foldtune.results.runs.records import Mode
from foldtune.results.tables.columns import Column, build_table, fit_columns, left_out_line, titled
from foldtune.results.tables.formatting import number_text
from foldtune.results.tables.leaderboard_table import metric_column


def sweep_table(
    rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Mode], *, title: str, width: int | None = None
) -> Group:
    """Return one row per setting {values: {key: value}, metrics: {name: value}}; the best value of a metric is bold.

    ``metrics`` are the ones to show, the most important first, and which way each is better.
    """
    keys = list(rows[0]["values"]) if rows else []
    columns = [Column(key, tuple(_cell(row["values"][key]) for row in rows), 0) for key in keys]
    for place, (name, mode) in enumerate(metrics.items()):
        values = [float(row["metrics"][name]) for row in rows]
        columns.append(metric_column(name, values, mode, min(place, 3), strong=place == 0))
    fitted, left_out = fit_columns(columns, width)
    parts: list[Group | Text] = [titled(title, build_table(fitted))]
    if left_out:
        parts.append(Text(left_out_line(left_out, "--format csv"), style="dim"))
    return Group(*parts)


def _cell(value: object) -> Text:
    return Text(number_text(value) if isinstance(value, int | float) else str(value))
