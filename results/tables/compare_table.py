"""Comparisons of predictors on the same rows, as terminal tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from foldtune.results.records.trials import Mode
from foldtune.results.tables.columns import Column, fitted_table, titled
from foldtune.results.tables.formatting import metric_text, number_text
from foldtune.results.tables.leaderboard_table import BEST_STYLE

_CLASSES = 30
_HELPS, _HARMS = "green", "red"


def comparison_table(comparison: Mapping[str, Any], modes: Mapping[str, Mode], *, width: int | None = None) -> Group:
    """Return every metric and every class of A and B, with their differences.

    ``comparison`` has a, b (names), metric, mode, rows, rows_a, rows_b, difference {value, low, high},
    metrics {name: {a, b, difference}}, per_class [{label, support, a: {precision, recall, f1}, b}]; ``modes`` are
    the directions of the metrics.
    """
    parts: list[Table | Text] = [_heading(comparison), _metrics(comparison, modes), _conclusion(comparison)]
    if comparison["per_class"]:
        parts.append(_classes(comparison["per_class"], width))
    return Group(*parts)


def _heading(comparison: Mapping[str, Any]) -> Text:
    text = Text()
    for side in ("a", "b"):
        text.append(f" {side.upper()}  ", style="bold")
        text.append(f"{comparison[side]}")
        text.append(f"  ({number_text(comparison[f'rows_{side}'])} rows held out)\n", style="dim")
    text.append(f" on the {number_text(comparison['rows'])} rows that both have, post-processing cross-fitted")
    return text


def _metrics(comparison: Mapping[str, Any], modes: Mapping[str, Mode]) -> Table:
    own = comparison["metric"]
    table = Table(box=None, pad_edge=True)
    for header in ("", "A", "B", "B − A"):
        table.add_column(header, justify="right" if header else "left")
    for name in [own, *(name for name in comparison["metrics"] if name != own)]:
        row = comparison["metrics"][name]
        table.add_row(
            Text(name, style="bold" if name == own else ""),
            metric_text(row["a"]),
            metric_text(row["b"]),
            _difference(row["difference"], modes[name]),
        )
    return table


def _conclusion(comparison: Mapping[str, Any]) -> Text:
    found = comparison["difference"]
    sign = 1 if comparison["mode"] == "max" else -1
    low, high = sorted((sign * found["low"], sign * found["high"]))
    text = Text(f" {comparison['metric']}, B − A: ")
    text.append(f"{found['value']:+.4f}", style="bold")
    text.append(f"  [{found['low']:+.4f}, {found['high']:+.4f}]  ")
    if low > 0:
        text.append("B is better", style=_HELPS)
    elif high < 0:
        text.append("A is better", style=_HARMS)
    else:
        text.append("no clear winner", style="yellow")
    return text.append("\n (95% of paired bootstrap samples of the rows)\n", style="dim")


def _classes(rows: Sequence[Mapping[str, Any]], width: int | None) -> Table:
    """Return a table of the classes, or of those whose F1 differs most."""
    shown = rows
    if len(rows) > _CLASSES:
        shown = sorted(rows, key=lambda row: -abs(row["b"]["f1"] - row["a"]["f1"]))[:_CLASSES]
    columns = [Column("class", tuple(Text(str(row["label"])) for row in shown), 0, right=False)]
    for name, importance in (("f1", 0), ("recall", 1), ("precision", 2)):
        # One column, so that a narrow window drops the three values together.
        cells = tuple(_triple(row["a"][name], row["b"][name]) for row in shown)
        columns.append(Column(f"{name}: A, B, B − A", cells, importance))
    columns.append(Column("rows", tuple(Text(number_text(row["support"])) for row in shown), 0))
    notes = [f"the {len(shown)} of {len(rows)} classes whose F1 differs most"] if len(rows) > len(shown) else []
    return fitted_table(columns, width, "--format csv", notes)


def _triple(a: float, b: float) -> Text:
    return Text.assemble(metric_text(a), "  ", metric_text(b), "  ", _difference(b - a, "max"))


def _difference(value: float, mode: Mode) -> Text:
    helps = value > 0 if mode == "max" else value < 0
    return Text(f"{value:+.4f}", style="dim" if abs(value) < 5e-5 else _HELPS if helps else _HARMS)


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
