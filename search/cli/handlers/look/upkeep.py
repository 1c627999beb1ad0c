"""`foldtune runs archive`, `rm` and `note`."""

from __future__ import annotations

from collections.abc import Sequence

from foldtune.results.runs.names import check_name
from foldtune.results.runs.store import RunStore
from foldtune.results.upkeep.note import write_note
from foldtune.results.upkeep.removal import archive_run, remove_run
from foldtune.search.cli.terminal import note


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
