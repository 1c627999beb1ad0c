"""Values of trials under post-processing that was fitted to their stored scores: one JSON a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import NoneType

from foldtune.errors import RunCorrupt
from foldtune.results.records.trials import TrialRecord
from foldtune.results.storage.files import read_json, write_json
from foldtune.results.storage.paths import StorePath

Tuned = Mapping[str, Mapping[str, float | None]]
"""Metric → trial id → its cross-fitted value."""


def read_tuned(path: StorePath) -> Tuned:
    """Return the stored values, none without the file. Raises RunCorrupt, StorageError."""
    stored: Tuned = read_json(path) or {}
    for metric, values in stored.items():
        numbers = values.values() if isinstance(values, dict) else [values]
        if not isinstance(values, dict) or not all(type(each) in (int, float, NoneType) for each in numbers):
            raise RunCorrupt(f"{path}: {metric}: does not hold a number for each trial; remove it")
    return stored


def add_tuned(path: StorePath, metric: str, values: Mapping[str, float]) -> None:
    """Store values of a metric; those of other trials and metrics stay. Raises RunCorrupt, StorageError."""
    tuned = read_tuned(path)
    write_json(path, {**tuned, metric: {**tuned.get(metric, {}), **values}})


def with_tuned(record: TrialRecord, tuned: Tuned) -> TrialRecord:
    """Return a trial's record with its values as the metrics ``<metric>_tuned``."""
    own = {
        f"{metric}_tuned": float(value)
        for metric, values in tuned.items()
        if (value := values.get(record.trial_id)) is not None
    }
    return replace(record, metrics={**record.metrics, **own}) if own else record
