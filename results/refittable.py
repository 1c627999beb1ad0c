"""Trials before and after their post-processing was fitted, as a terminal table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from results.formatting import metric_text, number_text
from results.tables import BEST_STYLE


def refit_table(rows: Sequence[Mapping[str, Any]], metric: str, top: int) -> Table:
    """Return the first ``top`` rows {trial_id, before, tuned, fitted, postprocess}, which come best first."""
    table = Table(box=None, pad_edge=False, title=f"{metric}, post-processing refitted", title_justify="left")
    for column in ("trial", "before", "cross-fitted", "gain", "on its own rows"):
        table.add_column(column, justify="left" if column == "trial" else "right")
    best = rows[0]["tuned"] if rows else None
    for row in rows[:top]:
        gain = row["tuned"] - row["before"]
        table.add_row(
            str(row["trial_id"]),
            metric_text(row["before"]),
            Text(metric_text(row["tuned"]), style=BEST_STYLE if row["tuned"] == best else ""),
            f"{gain:+.4f}",
            Text(metric_text(row["fitted"]), style="dim"),
        )
    if len(rows) == 1:
        table.caption = Text(postprocess_text(rows[0]["postprocess"]), style="dim")
        table.caption_justify = "left"
    return table


def postprocess_text(postprocess: Mapping[str, Any]) -> str:
    """Return fitted values in one line: "offsets: akiec 0.41, bcc 0.12, …; prior_power 0"."""
    parts = []
    for name, value in postprocess.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{label} {number_text(item)}" for label, item in value.items()) or "none"
            parts.append(f"{name}: {value}")
        else:
            parts.append(f"{name} {number_text(value) if isinstance(value, int | float) else value}")
    return "; ".join(parts)
