"""Failed trials that a resumed search tries again."""

from __future__ import annotations

from foldtune.results.runs.store import RunStore


def reopen_failed(store: RunStore, *, every: bool) -> list[str]:
    """Reopen the trials that failed for their surroundings, with `every` all that failed; return their ids.

    They go on from their checkpoints, or start afresh. Those whose files cannot be read stay as they are. Only for the
    holder of the run's lock. Raises StorageError.
    """
    failed = [record for record in store.trials() if record.status == "FAIL" and record.is_readable]
    again = [record.trial_id for record in failed if every or record.surroundings]
    for trial_id in again:
        store.trial(trial_id).reopen()
    return again
