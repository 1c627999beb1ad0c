"""The effects of choices as a table: a row a choice, beside each target where there are several."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from rich.table import Table
from rich.text import Text

from foldtune.results.tables.columns import Column, fitted_table
from foldtune.results.tables.formatting import DASH, duration_text, metric_text

COLUMNS = (
    *("target", "choice", "trial_id", "metric", "value", "difference", "low", "high", "effect"),
    *("folds", "seeds", "fit_time_s", "params_m", "error"),
)
BASE, BETTER, WORSE, UNCLEAR = "base", "better", "worse", "unclear"
_NOTHING = (Text(DASH), Text(DASH), Text(DASH), Text(""))
_STYLES = {BETTER: "green", WORSE: "red", UNCLEAR: "yellow", BASE: "bold"}


def ablation_table(frame: pd.DataFrame, targets: Sequence[str | None], width: int | None = None) -> Table:
    """Return the table of a frame with COLUMNS; ``targets`` has None alone where there is one task."""
    choices = list(dict.fromkeys(frame["choice"]))
    columns = [Column("choice", tuple(map(Text, choices)), 0, right=False, limit=60)]
    for target in targets:
        own = frame[frame["target"].isna() if target is None else frame["target"] == target].set_index("choice")
        cells = [_cells(own.loc[choice]) if choice in own.index else _NOTHING for choice in choices]
        value, change, bounds, effect = zip(*cells, strict=True)
        columns += [
            Column(f"{target} {own['metric'].iloc[0]}" if target else str(own["metric"].iloc[0]), value, 0),
            Column("change", change, 0),
            Column("95%", bounds, 1),
            Column("", effect, 0, right=False),
        ]
    cost = [_cost(frame[frame["choice"] == choice]) for choice in choices]
    headers = ("folds x seeds", "time a fold", "parameters")
    columns += [
        Column(header, tuple(map(Text, each)), place)
        for place, (header, each) in enumerate(zip(headers, zip(*cost, strict=True), strict=True), 2)
    ]
    return fitted_table(columns, width, "--output", _notes(frame))


def _notes(frame: pd.DataFrame) -> list[str]:
    lines = ["change: from the base, on the same rows; 95% of paired bootstrap samples of them"]
    for target, rows in frame[frame["effect"] == UNCLEAR].groupby("target", dropna=False, sort=False):
        of = f"{target!s}: " if isinstance(target, str) else ""
        lines.append(f"{of}no clear difference from the base on these rows and seeds: {', '.join(rows['choice'])}")
    failed = frame[frame["error"].notna()]
    return lines + [f"{choice}: {error}" for choice, error in zip(failed["choice"], failed["error"], strict=True)]


def _cells(row: pd.Series) -> tuple[Text, Text, Text, Text]:
    """Return value, change, interval and effect of a choice."""
    if pd.notna(row["error"]):
        return (*_NOTHING[:3], Text("failed", style="red"))
    is_base = pd.isna(row["difference"])
    change = DASH if is_base else f"{row['difference']:+.4f}"
    bounds = DASH if is_base else f"{row['low']:+.4f}, {row['high']:+.4f}"
    effect = Text(row["effect"], style=_STYLES[row["effect"]])
    return Text(metric_text(row["value"])), Text(change), Text(bounds), effect


def _cost(rows: pd.DataFrame) -> tuple[str, str, str]:
    folds, seeds = rows["folds"].max(), rows["seeds"].max()
    trained = DASH if pd.isna(folds) else f"{folds:.0f} x {seeds:.0f}"
    parameters = rows["params_m"].max()
    size = DASH if pd.isna(parameters) else f"{parameters:.2f} M"
    return trained, duration_text(float(rows["fit_time_s"].mean())), size
