"""`foldtune runs`, and `runs archive`, `rm` and `note`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from foldtune.cluster.access.trusted import was_given
from foldtune.cluster.jobs import JobServer
from foldtune.errors import ClusterError
from foldtune.results.runs.names import check_name, check_storage
from foldtune.results.runs.store import RunStore
from foldtune.results.runs.summaries import RunSummary, list_runs
from foldtune.results.storage.paths import as_path
from foldtune.results.tables.leaderboard_table import runs_table
from foldtune.results.upkeep.note import read_note, write_note
from foldtune.results.upkeep.removal import archive_run, remove_run
from foldtune.search.cli.options import Format
from foldtune.search.cli.terminal import note, output, print_frame
from foldtune.search.runs.stored_task import stored_goal

UNREACHABLE, FORGOTTEN, UNTRUSTED = "UNREACHABLE", "FORGOTTEN", "UNTRUSTED"
"""States of a job whose server does not answer, has no job of that id, or was never named by this user."""


def show_runs(storage: str, format: Format) -> None:
    """Print the runs of a storage with the states of their jobs."""
    summaries = list_runs(storage, stored_goal)
    noted = [replace(run, note=read_note(RunStore(as_path(storage) / run.name))) for run in summaries]
    found = _with_job_states(noted)
    folder = as_path(storage)
    check_storage(folder)
    if not found and isinstance(folder, Path) and not folder.exists():
        note(f"there is no folder {storage}: --storage names where runs are kept, and the first search makes it")
    if format is Format.table:
        output().print(runs_table(found, width=output().width))
    else:
        print_frame(pd.DataFrame([asdict(run) for run in found]), format)


def _with_job_states(runs: Sequence[RunSummary]) -> list[RunSummary]:
    """Return the runs with the state that each one's job server has for its job."""
    states: dict[str, Mapping[str, str] | None] = {}
    for address in sorted({run.job_address for run in runs if run.job_address}):
        if was_given(address):
            states[address] = _job_states(address)
        else:
            note(f"job server {address} is left alone: it was never given here (foldtune logs RUN --address gives it)")
    found = []
    for run in runs:
        state = UNTRUSTED if run.job_address else None
        if run.job_address in states:
            of_server = states[run.job_address]
            state = UNREACHABLE if of_server is None else of_server.get(str(run.job), FORGOTTEN)
        found.append(replace(run, job_state=state))
    return found


def _job_states(address: str) -> dict[str, str] | None:
    """Return states by job id, None where the server does not answer or is not to be trusted."""
    try:
        return {job.job_id: job.state for job in JobServer(address, allow_no_token=True).jobs()}
    except ClusterError:
        return None


def archive_runs(names: Sequence[str], storage: str) -> None:
    """Put each run into an archive, and print where."""
    for store in _stores(names, storage):
        target, size = archive_run(store, storage)
        note(f"run {store.name!r} archived: {target} ({size / 1e6:,.1f} MB)")


def remove_runs(names: Sequence[str], storage: str) -> None:
    """Remove each run, and print the room that it took."""
    for store in _stores(names, storage):
        size = remove_run(store, storage)
        note(f"run {store.name!r} removed ({size / 1e6:,.1f} MB)")


def note_run(name: str, text: str, storage: str) -> None:
    """Store a note on a run."""
    (store,) = _stores([name], storage)
    write_note(store, text)


def _stores(names: Sequence[str], storage: str) -> list[RunStore]:
    """Return the runs, all of which exist: names alone, so that nothing outside the storage is touched."""
    for name in names:
        check_name(name, "run")
    return [RunStore.open(name, storage) for name in names]
