"""Comparison of the models of a run, as a terminal table."""

from __future__ import annotations

import pandas as pd
from rich.console import Group
from rich.text import Text

from foldtune.results.records.ranking import Goal
from foldtune.results.tables.columns import Column, fitted_table, titled
from foldtune.results.tables.formatting import duration_text, metric_text, number_text
from foldtune.results.tables.leaderboard_table import STATUS_STYLES, metric_column

PRUNED = "pruned: stopped before its last epoch, so its value is of fewer epochs than a complete trial's"


def model_table(frame: pd.DataFrame, goal: Goal, *, width: int | None = None) -> Group:
    """Return one row per model: its best trial's metric, size, training time and speed, and its inference time.

    Columns of ``frame``: model_name, <metric>, <metric>_tuned, params_m, fit_time_s, images_per_s, trials, trial_id,
    status, pareto and, optionally, inference_ms. A line below explains that a trial was stopped early, and names the
    models of the Pareto front.
    """
    columns = [
        Column("model", tuple(Text(str(name)) for name in frame["model_name"]), 0, right=False),
        metric_column(goal.metric, list(frame[goal.metric]), goal.mode, 0, strong=True),
        metric_column("tuned", list(frame[f"{goal.metric}_tuned"]), goal.mode, 3),
        Column("params M", tuple(Text(_number(value)) for value in frame["params_m"]), 1),
        Column("training", tuple(Text(duration_text(value)) for value in frame["fit_time_s"]), 2),
        Column("img/s", tuple(Text(_number(value)) for value in frame["images_per_s"]), 4),
    ]
    if "inference_ms" in frame:
        columns.append(Column("ms/image", tuple(Text(metric_text(value)) for value in frame["inference_ms"]), 1))
    columns += [
        Column("trials", tuple(Text(str(count)) for count in frame["trials"]), 5),
        Column("best trial", tuple(Text(str(trial_id)) for trial_id in frame["trial_id"]), 2, right=False),
        Column(
            "status", tuple(Text(each.lower(), style=STATUS_STYLES[each]) for each in frame["status"]), 0, right=False
        ),
    ]
    notes = [PRUNED] if "PRUNED" in set(frame["status"]) else []
    cost = "ms/image" if "inference_ms" in frame else "params M"
    front = ", ".join(str(name) for name in frame.loc[frame["pareto"], "model_name"])
    notes.append(f"Pareto front of {goal.metric} and {cost}: {front}")
    return titled("the best trial of each model", fitted_table(columns, width, "models.csv", notes))


def _number(value: float | None) -> str:
    return number_text(float("nan") if value is None else value)
