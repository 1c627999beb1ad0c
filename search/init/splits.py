"""Columns of a split that the table already has."""

from __future__ import annotations

import pandas as pd

from foldtune.search.init.findings import Finding
from foldtune.trainers.data.readers.splits import part_of

_SPLITS = ("split", "set", "subset", "partition")
_FOLDS = ("fold", "folds", "kfold")
MAX_FOLDS = 50


def split_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns of parts, or of folds, that rows belong to."""
    return [name for name in map(str, frame.columns) if _is_split(frame[name]) or _is_fold(frame[name])]


def split_findings(frame: pd.DataFrame, has_valid: bool) -> list[Finding]:
    """Return the split of the table, where it has one and no validation part is given beside it."""
    found = [] if has_valid else split_columns(frame)
    for name in found:
        if _is_split(frame[name]):
            parts = ", ".join(f"{part}: {rows:,}" for part, rows in frame[name].value_counts().items())
            return [Finding("data.split", name, f"a split that exists ({parts})")]
    return [Finding("data.fold", found[0], f"{frame[found[0]].nunique()} folds that exist")] if found else []


def _is_split(column: pd.Series[str]) -> bool:
    if str(column.name).lower() not in _SPLITS:
        return False
    parts = {part_of(value.strip()) for value in column.dropna().astype(str).unique()}
    return "train" in parts and None not in parts and len(parts) > 1


def _is_fold(column: pd.Series[str]) -> bool:
    values = column.dropna().astype(str)
    named = str(column.name).lower() in _FOLDS
    return named and bool(values.str.fullmatch(r"\d+(\.0)?").all()) and 1 < values.nunique() <= MAX_FOLDS
