"""Post-processing fitted to trials, and settings given by the user, with their metrics, as terminal tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import Mode
from foldtune.results.tables.columns import Column, build_table, fit_columns, left_out_line, titled
from foldtune.results.tables.formatting import metric_text, number_text
from foldtune.results.tables.leaderboard_table import BEST_STYLE, metric_column


def refit_table(rows: Sequence[Mapping[str, Any]], goal: Goal, top: int, tuned: Collection[str] = ()) -> Group:
    """Return the first ``top`` rows {trial_id, before, tuned, fitted, postprocess}, which come best first.

    ``tuned`` holds the ids of trials that were evaluated with tuned post-processing for this metric: they cannot gain.
    """
    table = Table(box=None, pad_edge=False)
    change = "gain" if goal.mode == "max" else "less is better"
    for column in ("trial", "before", "cross-fitted", change, "on its own rows"):
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
    parts: list[Group | Text] = [titled(f"{goal.metric}, post-processing refitted", table)]
    if len(rows) == 1:
        parts.append(Text(postprocess_text(rows[0]["postprocess"]), style="dim"))
    if already := _already_tuned([str(row["trial_id"]) in tuned for row in rows[:top]]):
        parts.append(Text(already, style="dim"))
    return Group(*parts)


def _already_tuned(trials: Sequence[bool]) -> str:
    """Return a note on the trials that cannot gain; "" without any."""
    if not any(trials):
        return ""
    who = "this trial was" if len(trials) == 1 else "these trials were"
    some = "" if all(trials) else f"{sum(trials)} of "
    return f"{some}{who} searched with postprocess: tuned, cross-fitted already: no gain is left"


def postprocess_text(postprocess: Mapping[str, Any]) -> str:
    """Return fitted values in one line.

    >>> postprocess_text({"offsets": {"akiec": 0.41, "bcc": 0.12}, "prior_power": 0})
    'offsets: akiec 0.41, bcc 0.12; prior_power 0'
    """
    parts = []
    for name, value in postprocess.items():
        if isinstance(value, Mapping):
            value = ", ".join(f"{label} {number_text(item)}" for label, item in value.items()) or "none"
            parts.append(f"{name}: {value}")
        else:
            parts.append(f"{name} {number_text(value) if isinstance(value, int | float) else value}")
    return "; ".join(parts)


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
