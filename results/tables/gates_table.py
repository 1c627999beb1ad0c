"""Gates of an ensemble and whether they hold, as a terminal table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from foldtune.results.tables.columns import titled
from foldtune.results.tables.formatting import DASH, metric_text, number_text


def gates_table(results: Sequence[Mapping[str, Any]], *, title: str) -> Group:
    """Return one row per result {condition, metric, value, margin, passed}; the caption counts the failed ones.

    ``value`` and ``margin`` may be None or NaN: not available.
    """
    table = Table(box=None, pad_edge=False, caption_justify="left")
    for column in ("condition", "value", "margin", ""):
        table.add_column(column, justify="left" if column in ("condition", "") else "right", overflow="fold")
    for row in results:
        passed = bool(row["passed"])
        style = "green" if passed else "bold red"
        table.add_row(
            Text(str(row["condition"])),
            Text(_value(row), style="" if passed else style),
            Text(_margin(row), style="dim" if passed else style),
            Text("pass" if passed else "FAIL", style=style),
        )
    failed = sum(not row["passed"] for row in results)
    table.caption = Text(_caption(failed, len(results)), style="bold red" if failed else "green")
    return titled(title, table)


def _caption(failed: int, total: int) -> str:
    if total == 1:
        return "the condition fails" if failed else "the condition holds"
    return f"{failed} of {total} conditions fail" if failed else f"all {total} conditions hold"


def _value(row: Mapping[str, Any]) -> str:
    value = row["value"]
    return number_text(value) if row["metric"] == "support" and value is not None else metric_text(value)


def _margin(row: Mapping[str, Any]) -> str:
    margin = row["margin"]
    if margin is None or not math.isfinite(margin):
        return DASH
    return f"{margin:+,.0f}" if row["metric"] == "support" else f"{margin:+.4f}"
