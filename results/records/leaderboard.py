"""The leaderboard: every trial of a run in one frame, with a public order of columns."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pandas as pd

from foldtune.errors import ColumnNotFound
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import Mode, TrialRecord
from foldtune.results.storage.files import json_text
from foldtune.wording import not_found

_HEAD = ("rank", "trial_id", "status")
_MEASURES = ("epochs", "fit_time_s", "images_per_s", "params_m")
_PREFIX = "params_"


def leaderboard(
    records: Sequence[TrialRecord],
    goal: Goal,
    sort_by: str | None = None,
    *,
    modes: Mapping[str, Mode] = MappingProxyType({}),
) -> pd.DataFrame:
    """Return one row per trial, the best by the goal's metric first.

    Columns: rank, trial_id, status, <metric>, <metric>_tuned, epochs, fit_time_s, images_per_s, params_m, the
    other metrics, params_*, error. ``rank`` (from 1, by the metric whatever ``sort_by``) is empty for trials
    that run, have failed or have no finite value; those come after the ranked ones, failures last. Equal
    values keep the order of their trial numbers. ``sort_by`` is a column, or a parameter without its prefix;
    ``modes`` holds the directions of the task's metrics: a metric that has none sorts from low to high.
    Raises ColumnNotFound.
    """
    metric = goal.metric
    ordered = sorted(records, key=lambda record: _order(record, goal))
    ranked = sum(_is_ranked(record, metric) for record in ordered)
    tuned = f"{metric}_tuned"
    others = [name for name in _union(r.metrics for r in ordered) if name not in (metric, tuned)]
    columns: dict[str, pd.Series[Any]] = {
        "rank": pd.Series([i + 1 if i < ranked else None for i in range(len(ordered))], dtype="Int64"),
        "trial_id": pd.Series([record.trial_id for record in ordered], dtype=object),
        "status": pd.Series([record.status for record in ordered], dtype=object),
    }
    for name in (metric, tuned):
        columns[name] = _floats(record.value(name) for record in ordered)
    columns["epochs"] = pd.Series([record.epochs for record in ordered], dtype="int64")
    for name in _MEASURES[1:]:
        columns[name] = _floats(getattr(record, name) for record in ordered)
    for name in others:
        columns[name] = _floats(record.value(name) for record in ordered)
    for name in _union(record.params for record in ordered):
        columns[_PREFIX + name] = _parameter([record.params.get(name) for record in ordered])
    columns["error"] = pd.Series([record.error for record in ordered], dtype=object)
    frame = pd.DataFrame(columns)
    return frame if sort_by is None else _sorted(frame, sort_by, column_modes(frame, goal, modes))


def sort_column(frame: pd.DataFrame, sort_by: str) -> str:
    """Return the leaderboard's column that is meant by its name, or by that of a parameter without its prefix.

    Raises ColumnNotFound.
    """
    column = sort_by if sort_by in frame.columns else _PREFIX + sort_by
    if column not in frame.columns:
        raise ColumnNotFound(not_found("column", sort_by, frame.columns, shown=len(frame.columns)))
    return column


def metric_columns(frame: pd.DataFrame) -> list[str]:
    """Return the leaderboard's columns that hold metrics, the run's own first."""
    rest = set(_HEAD) | set(_MEASURES) | set(param_columns(frame)) | {"error"}
    return [name for name in frame.columns if name not in rest]


def param_columns(frame: pd.DataFrame) -> list[str]:
    """Return the leaderboard's columns that hold sampled parameters."""
    return [name for name in frame.columns if name.startswith(_PREFIX) and name != "params_m"]


def column_modes(frame: pd.DataFrame, goal: Goal, modes: Mapping[str, Mode]) -> dict[str, Mode]:
    """Return the direction of each metric column of which it is known: the goal's, and those of ``modes``."""
    known = {**modes, goal.metric: goal.mode}
    directions = {name: known.get(name.removesuffix("_tuned")) for name in metric_columns(frame)}
    return {name: mode for name, mode in directions.items() if mode is not None}


def _is_ranked(record: TrialRecord, metric: str) -> bool:
    return record.status in ("COMPLETE", "PRUNED") and math.isfinite(record.value(metric))


def _order(record: TrialRecord, goal: Goal) -> tuple[int, float, int, str]:
    """Return the sort key: ranked, finished without a value, running, failed; each by value, then by number."""
    value = record.value(goal.metric)
    group = {"RUNNING": 2, "FAIL": 3}.get(record.status, 0 if math.isfinite(value) else 1)
    return group, -goal.sign * value if math.isfinite(value) else math.inf, record.number, record.trial_id


def _sorted(frame: pd.DataFrame, sort_by: str, modes: Mapping[str, Mode]) -> pd.DataFrame:
    column = sort_column(frame, sort_by)
    ascending = column != "images_per_s" and modes.get(column, "min") == "min"
    mixed = frame[column].dtype == object
    failed = frame["status"] == "FAIL"
    kept = frame[~failed].sort_values(
        column,
        ascending=ascending,
        kind="stable",
        na_position="last",
        key=(lambda cells: cells.map(str, na_action="ignore")) if mixed else None,
    )
    return pd.concat([kept, frame[failed]], ignore_index=True)


def _union(mappings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the keys of all mappings, in order of first appearance."""
    return list(dict.fromkeys(name for mapping in mappings for name in mapping))


def _floats(values: Iterable[float | None]) -> pd.Series[Any]:
    return pd.Series([math.nan if value is None else value for value in values], dtype="float64")


def _parameter(values: Sequence[Any]) -> pd.Series[Any]:
    """Return a parameter's column: numeric where possible, integers nullable, lists and mappings as JSON."""
    kinds = {type(value) for value in values if value is not None}
    with suppress(OverflowError):  # integers of more than 64 bits
        if kinds == {int}:
            return pd.Series(values, dtype="Int64")
        if kinds and kinds <= {int, float}:
            return _floats(values)
    cells = [json_text(value) if isinstance(value, list | dict | tuple) else value for value in values]
    return pd.Series(cells, dtype=object)
