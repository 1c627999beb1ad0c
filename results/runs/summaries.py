"""The runs of a storage folder, each in one line."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from foldtune.errors import RunCorrupt
from foldtune.results.runs.driver_file import Driver, read_driver
from foldtune.results.runs.names import run_names
from foldtune.results.runs.records import FINISHED, Mode, TrialRecord
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import file_state, listing
from foldtune.results.storage.paths import StorePath, as_path

State = Literal["empty", "running", "interrupted", "searched", "ensembled", "unreadable"]


@dataclass(frozen=True)
class RunSummary:
    """A run in one line; ``trials`` counts them by status, ``best`` is the best value of ``metric``.

    ``job`` is the id of the Ray job that searches it, or did so last, ``job_address`` its server's, and ``job_state``
    what that server says of it; None for a search in a terminal, or where nobody asked.
    """

    name: str
    state: State
    trials: Mapping[str, int]
    metric: str | None
    best: float | None
    modified: datetime
    job: str | None = None
    job_address: str | None = None
    job_state: str | None = None


def list_runs(storage: StorePath | str) -> list[RunSummary]:
    """Return the runs of a storage by name; [] where there is no such folder. Raises StorageInvalid, StorageError."""
    return [summarise(RunStore(as_path(storage) / name)) for name in run_names(storage)]


def summarise(store: RunStore) -> RunSummary:
    """Return the run in one line.

    The metric and the number of trials asked for are the configuration's ``search.metric`` and
    ``search.num_samples``. A run is "running" while a process holds its lock; without one it is "interrupted"
    where trials are unfinished or still to come.
    """
    records = store.trials()
    try:
        search = store.read_config().get("search")
    except RunCorrupt:
        search = None
    settings: dict[str, Any] = search if isinstance(search, dict) else {}
    metric = settings.get("metric")
    driver = _driver(store)
    return RunSummary(
        name=store.name,
        state=_state(store, records, settings.get("num_samples")) if search is not None else "unreadable",
        trials=dict(Counter(record.status for record in records)),
        metric=metric,
        best=_best(records, metric) if metric else None,
        modified=_modified(store),
        job=driver.job_id if driver else None,
        job_address=driver.job_address if driver else None,
    )


def _driver(store: RunStore) -> Driver | None:
    try:
        return read_driver(store)
    except RunCorrupt:
        return None


def _state(store: RunStore, records: list[TrialRecord], num_samples: int | None) -> State:
    finished = sum(record.status in FINISHED for record in records)
    if store.is_locked():
        return "running"
    if not records:
        return "empty"
    if finished < len(records) or finished < (num_samples or 0):
        return "interrupted"
    return "ensembled" if store.ensemble.exists() else "searched"


def _best(records: list[TrialRecord], metric: str) -> float | None:
    mode: Mode = "min" if metric.endswith("loss") else "max"
    values = [record.value(metric) for record in records if record.status in ("COMPLETE", "PRUNED")]
    finite = [value for value in values if math.isfinite(value)]
    return (max if mode == "max" else min)(finite, default=None)


def _modified(store: RunStore) -> datetime:
    paths = (store.config_path, store.leaderboard_path, store.ensemble.json_path)
    states = [file_state(path) for path in paths]
    states += [files.get("metrics.jsonl") for files in listing(store.trials_root).values()]
    return datetime.fromtimestamp(max(state.modified for state in states if state is not None), tz=UTC)
