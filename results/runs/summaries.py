"""Summaries of the runs of a storage: state, trials, best value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from foldtune.errors import RunCorrupt
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import FINISHED, TrialRecord
from foldtune.results.runs.driver_file import Driver, read_driver
from foldtune.results.runs.names import run_names
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import file_state, listing, tree_size
from foldtune.results.storage.paths import StorePath, as_path

GoalReader = Callable[[RunStore], Goal | None]
State = Literal["empty", "running", "interrupted", "searched", "ensembled", "unreadable"]


@dataclass(frozen=True)
class RunSummary:
    """Summary of a run.

    Attributes:
        trials: number of trials by status.
        metric: metric of the search, None where the configuration is unreadable.
        best: best finite value of the metric, None without one.
        job: id of the Ray job of the current or last search, None for one from a terminal.
        job_address: URL of the job server.
        job_state: status of the job at its server, None unless requested.
        size_mb: megabytes of all of its files.
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
    size_mb: float = 0.0
    note: str | None = None


def list_runs(storage: StorePath | str, read_goal: GoalReader = RunStore.read_goal) -> list[RunSummary]:
    """Return the summaries of all runs, by name; [] without the folder. Raises StorageInvalid, StorageError.

    ``read_goal`` as of `summarise`.
    """
    return [summarise(RunStore(as_path(storage) / name), read_goal) for name in run_names(storage)]


def summarise(store: RunStore, read_goal: GoalReader = RunStore.read_goal) -> RunSummary:
    """Return the summary of a run.

    ``read_goal`` returns the run's metric and direction. Where it returns None or raises RunCorrupt, the summary has
    no best value: a direction is never taken from a metric's name.

    Its metric and number of trials are ``search.metric`` and ``search.num_samples`` of the configuration. The state
    is "running" while a process holds the lock, else "interrupted" if trials are unfinished or missing.
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
        best=_best(store, records, read_goal),
        modified=_modified(store),
        job=driver.job_id if driver else None,
        job_address=driver.job_address if driver else None,
        size_mb=round(tree_size(store.root) / 1e6, 3),
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


def _best(store: RunStore, records: list[TrialRecord], read_goal: GoalReader) -> float | None:
    try:
        goal = read_goal(store)
    except RunCorrupt:
        return None
    if goal is None:
        return None
    return goal.best(record.value(goal.metric) for record in records if record.status in ("COMPLETE", "PRUNED"))


def _modified(store: RunStore) -> datetime:
    paths = (store.config_path, store.leaderboard_path, store.ensemble.json_path)
    states = [file_state(path) for path in paths]
    states += [files.get("metrics.jsonl") for files in listing(store.trials_root).values()]
    return datetime.fromtimestamp(max(state.modified for state in states if state is not None), tz=UTC)
