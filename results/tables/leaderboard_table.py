"""The leaderboard and the list of runs as terminal tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pandas as pd
from rich.table import Table
from rich.text import Text

from foldtune.results.records.leaderboard import column_modes, metric_columns, param_columns, sort_column
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import Mode
from foldtune.results.runs.summaries import RunSummary
from foldtune.results.tables.columns import Column, build_table, fit_columns, left_out_line, short_names
from foldtune.results.tables.formatting import DASH, duration_text, metric_text, number_text, parameter_text

INTERRUPTED = "INTERRUPTED"
"""Status of a trial that a resumed search goes on with; on disk it is RUNNING."""
STATUS_STYLES = {"COMPLETE": "green", "PRUNED": "yellow", "FAIL": "red", "RUNNING": "cyan", INTERRUPTED: "yellow"}
STATE_STYLES = {"ensembled": "bold green", "searched": "green", "running": "cyan", "interrupted": "yellow"}
BEST_STYLE = "bold green"
_STATUS_WORDS = {
    "COMPLETE": "complete",
    "PRUNED": "pruned",
    "FAIL": "failed",
    "RUNNING": "running",
    INTERRUPTED: "interrupted",
}
LEADING_PARAMETERS = ("loss", "lr")
"""Last parts of the names of the parameters that a narrow table shows before the others."""
_REASONS = 3
_REASON_LENGTH = 160


def results_table(
    frame: pd.DataFrame,
    goal: Goal,
    top: int | None = 10,
    *,
    width: int | None = None,
    modes: Mapping[str, Mode] = MappingProxyType({}),
    active: bool = True,
    sort_by: str | None = None,
) -> Table:
    """Return the first ``top`` rows (None: all) of a leaderboard as a table of at most ``width`` characters.

    The best value of each metric whose direction is in ``modes`` is bold among the rows shown; of the parameters only
    those that differ between these rows are shown; the caption counts all the trials and gives the failures' reasons.
    Where no process is ``active`` on the run, its unfinished trials are shown as interrupted, not as running.
    The metric and the column that the rows are sorted by (``sort_by``, as of ``leaderboard``) are never left out; next
    come status, loss and lr.
    """
    if not active:
        frame = frame.assign(status=frame["status"].replace("RUNNING", INTERRUPTED))
    shown = frame if top is None else frame.head(top)
    by = None if sort_by is None else sort_column(frame, sort_by)
    columns = _result_columns(shown, goal.metric, column_modes(frame, goal, modes), by)
    fitted, left_out = fit_columns(columns, width)
    table = build_table(fitted)
    table.caption = _caption(frame, left_out_line(left_out, "foldtune leaderboard"))
    table.caption_style = "none"
    return table


def runs_table(runs: Sequence[RunSummary], *, width: int | None = None) -> Table:
    """Return one row per run: state, trials by status, metric, best value and the time of the last change."""
    columns = [
        Column("run", tuple(Text(run.name, style="bold") for run in runs), 0, right=False),
        Column("state", tuple(Text(r.state, style=STATE_STYLES.get(r.state, "")) for r in runs), 0, right=False),
        Column("trials", tuple(_counts(_by_state(run), separator=", ") for run in runs), 2, right=False, limit=60),
        Column("metric", tuple(Text(run.metric or DASH) for run in runs), 0, right=False),
        Column("best", tuple(Text(metric_text(run.best), style=BEST_STYLE) for run in runs), 0),
        Column("MB", tuple(Text(f"{run.size_mb:,.0f}") for run in runs), 1),
        Column("note", tuple(Text(run.note or "") for run in runs), 1, right=False, limit=32),
        Column("job", tuple(Text(_job(run)) for run in runs), 3, right=False, limit=48),
        Column(
            "modified",
            tuple(Text(f"{run.modified.astimezone():%Y-%m-%d %H:%M}") for run in runs),
            1,
            right=False,
        ),
    ]
    empty = {"job": not any(map(_job, runs)), "note": not any(run.note for run in runs)}
    fitted, left_out = fit_columns([column for column in columns if not empty.get(column.header)], width)
    table = build_table(fitted)
    table.caption = left_out_line(left_out, "--format csv") if runs else "no runs yet"
    return table


def _by_state(run: RunSummary) -> Mapping[str, int]:
    """Return the run's trials by status; without a process at work on it, none is running."""
    counts = dict(run.trials)
    if run.state != "running" and (unfinished := counts.pop("RUNNING", 0)):
        counts[INTERRUPTED] = unfinished
    return counts


def _job(run: RunSummary) -> str:
    return " ".join(filter(None, (run.job, run.job_state and run.job_state.lower())))


def parameter_columns(
    shown: Sequence[Mapping[str, Any]], taken: Sequence[str], importance: int, *, sort_by: str | None = None
) -> list[Column]:
    """Return a column for each parameter that differs between the mappings; for a single mapping, for each.

    Loss and lr are more important than ``importance`` by 2. The one that the rows are sorted by is there in any case.
    """
    names = list(dict.fromkeys(name for params in shown for name in params))
    values = {name: [params.get(name) for params in shown] for name in names}
    differing = [
        name
        for name in names
        if name == sort_by
        or any(value != values[name][0] for value in values[name][1:])
        or (len(shown) == 1 and values[name] != [None])
    ]
    headers = short_names(differing, taken)
    return [
        Column(
            headers[name],
            tuple(_muted(parameter_text(params.get(name))) for params in shown),
            0 if name == sort_by else importance - 2 if name.split(".")[-1] in LEADING_PARAMETERS else importance,
            right=all(_is_number(params.get(name)) for params in shown),
            strong=name == sort_by,
        )
        for name in differing
    ]


def metric_column(
    header: str,
    values: Sequence[float],
    direction: Mode | None,
    importance: int,
    *,
    strong: bool = False,
    eligible: Sequence[bool] | None = None,
) -> Column:
    """Return a column of values that highlights the best of the ``eligible`` ones (None: all).

    Without a ``direction`` none is highlighted.
    """
    allowed = eligible or [True] * len(values)
    finite = [value for value, fits in zip(values, allowed, strict=True) if fits and math.isfinite(value)]
    best = (max if direction == "max" else min)(finite) if direction and len(finite) > 1 else None
    style = {True: BEST_STYLE, False: "bold" if strong else ""}
    cells = tuple(
        Text(metric_text(value), style=style[fits and value == best]) if math.isfinite(value) else _muted(DASH)
        for value, fits in zip(values, allowed, strict=True)
    )
    return Column(header, cells, importance, strong=strong)


def _result_columns(
    shown: pd.DataFrame, metric: str, directions: Mapping[str, Mode], sort_by: str | None
) -> list[Column]:
    tuned = f"{metric}_tuned"
    others = [name for name in metric_columns(shown) if name not in (metric, tuned)]
    ranks = [DASH if pd.isna(rank) else str(rank) for rank in shown["rank"]]
    headers = ["#", "trial", "status", metric, "tuned", "epochs", "time", "img/s", "params M", *others]
    statuses = [Text(status.lower(), style=STATUS_STYLES[status]) for status in shown["status"]]

    eligible = list(shown["status"] != "FAIL")

    def kept(name: str, column: Column) -> Column:
        return replace(column, importance=0, strong=True) if name == sort_by else column

    def texts(name: str, header: str, text: Callable[[Any], str], importance: int) -> Column:
        return kept(name, Column(header, tuple(_muted(text(value)) for value in shown[name]), importance))

    def values(name: str, header: str, importance: int) -> Column:
        cells = list(shown[name])
        strong = name == metric
        column = metric_column(header, cells, directions.get(name), importance, strong=strong, eligible=eligible)
        return kept(name, column)

    columns = [
        Column("#", tuple(Text(rank) for rank in ranks), 0),
        Column("trial", tuple(Text(trial_id) for trial_id in shown["trial_id"]), 0, right=False),
        kept("status", Column("status", tuple(statuses), 1, right=False)),
        values(metric, metric, 0),
    ]
    if shown[tuned].notna().any() or sort_by == tuned:
        columns.append(values(tuned, "tuned", 3))
    columns += [texts("epochs", "epochs", str, 3), texts("fit_time_s", "time", duration_text, 3)]
    params = [
        {name.removeprefix("params_"): None if pd.isna(row[name]) else row[name] for name in param_columns(shown)}
        for row in shown.astype(object).to_dict(orient="records")
    ]
    by = (sort_by or "").removeprefix("params_")
    columns += parameter_columns(params, headers, importance=4, sort_by=by)
    columns += [values(name, name, 5) for name in others]
    columns.append(texts("images_per_s", "img/s", number_text, 6))
    columns.append(texts("params_m", "params M", number_text, 7))
    return columns


def _caption(frame: pd.DataFrame, left_out: str) -> Text:
    if frame.empty:
        return Text("no trials yet", style="dim")
    counts = _counts(frame["status"].value_counts().to_dict(), separator=" · ")
    time_s = float(frame["fit_time_s"].sum())
    caption = Text.assemble(counts, (f" · {duration_text(time_s)} of training", "dim"))
    if left_out:
        caption.append(f"\n{left_out}", style="dim")
    reasons = Counter(frame.loc[frame["status"] == "FAIL", "error"].dropna())
    for reason, times in reasons.most_common(_REASONS):
        line = reason.strip().split("\n")[0]
        line = line if len(line) <= _REASON_LENGTH else line[: _REASON_LENGTH - 1] + "…"
        caption.append(f"\nfailed{f' ({times}×)' if times > 1 else ''}: {line}", style="red")
    if len(reasons) > _REASONS:
        caption.append(f"\n… and {len(reasons) - _REASONS} other reasons", style="red")
    return caption


def _counts(trials: Mapping[Any, int], separator: str) -> Text:
    """Return "38 complete · 9 pruned", coloured, without the statuses that have no trial."""
    parts = [
        Text(f"{trials[status]} {word}", style=STATUS_STYLES[status])
        for status, word in _STATUS_WORDS.items()
        if trials.get(status)
    ]
    return Text(separator).join(parts) if parts else _muted("none")


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _muted(text: str) -> Text:
    return Text(text, style="dim" if text == DASH else "")
