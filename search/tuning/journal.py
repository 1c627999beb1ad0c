"""Optuna's journal file without a wait for the disk at every line.

Optuna flushes each line to the disk: a proposal writes about fifteen and an epoch one, and on a busy disk each waits
for milliseconds in which the driver answers no worker. Here a trial's end alone waits. What a power cut takes is
put back from the run's store (`search.tuning.study.reconcile`); a killed process loses nothing that it wrote.
"""

from __future__ import annotations

import json
import os
from typing import Any

from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file
from optuna.storages.journal._storage import JournalOperation


class RunJournal(JournalFileBackend):
    """The journal of a run, any number of readers and now and then another writer, such as a dashboard."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines, whole in the eyes of every reader that waits for the lock."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        ends = any(log["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES for log in logs)
        with get_lock_file(self._lock), open(self._file_path, "ab") as file:
            file.write(lines.encode())
            file.flush()
            if ends:
                os.fsync(file.fileno())
