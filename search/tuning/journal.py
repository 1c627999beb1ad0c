"""Optuna's journal file without a wait for the disk at every line.

Optuna flushes each line to the disk: a proposal writes about fifteen and an epoch one, and on a busy disk each waits
for milliseconds in which the driver answers no worker. Here a trial's end alone waits. What a power cut takes is
put back from the run's store (`search.tuning.study.reconcile`); a killed process loses nothing that it wrote.
"""

from __future__ import annotations

import json
from typing import Any

from optuna.storages.journal import JournalFileBackend

from foldtune.search.tuning.optuna_internals import append_locked, ends_trial


class RunJournal(JournalFileBackend):
    """The journal of a run, for any number of readers and occasional other writers, such as a dashboard."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, all or none of them visible to a reader that takes the lock."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        append_locked(self, lines.encode(), flush_to_disk=any(map(ends_trial, logs)))
