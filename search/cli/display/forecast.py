"""The forecast of a chain, as a table and a line."""

from __future__ import annotations

from datetime import datetime, timedelta

from rich.console import Group
from rich.table import Table
from rich.text import Text

from foldtune.results.tables.columns import titled
from foldtune.results.tables.formatting import counted, duration_text
from foldtune.search.assess.forecast import Forecast


def forecast_table(forecast: Forecast) -> Group:
    """Return the seconds of an epoch of each model, and those of search, folds and vote."""
    table = Table(box=None, pad_edge=False)
    table.add_column("model", overflow="fold")
    table.add_column("epoch", justify="right")
    for each in forecast.models:
        table.add_row(each.model, each.problem if each.epoch_s is None else duration_text(each.epoch_s))
    return Group(titled("time of an epoch here", table), Text(forecast_line(forecast)))


def forecast_line(forecast: Forecast) -> str:
    """Return one line: how long search and folds take, and when they would end."""
    if forecast.search_s is None or forecast.folds_s is None:
        return "forecast: no model could be timed"
    total_s = forecast.search_s + forecast.folds_s
    end = datetime.now() + timedelta(seconds=total_s)
    return (
        f"forecast, {counted(forecast.slots, 'trial')} at a time: search {duration_text(forecast.search_s)}, folds and "
        f"vote {duration_text(forecast.folds_s)}; started now it ends about {end:%H:%M on %Y-%m-%d}"
    )
