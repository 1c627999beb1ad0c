"""The running time of a run's commands over all of their sessions, which a time limit counts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from foldtune.results.records.stored_json import StoredClock, checked
from foldtune.results.storage.files import read_json, write_json
from foldtune.results.storage.paths import StorePath

NAME = "clock.json"
SAVE_PERIOD_S = 10.0
"""Seconds between two writes: what a killed process loses of its time at most."""


class RunClock:
    """The running time of one command of a run, stored in the run's folder by the holder of its lock.

    ``before_s`` is that of earlier sessions; the present one began at ``begun_s`` of `time.monotonic()`.
    """

    def __init__(self, root: StorePath, command: str, begun_s: float | None = None) -> None:
        self._path, self._key = root / NAME, f"{command}_s"
        self.before_s = float(self._read().get(self._key) or 0.0)
        self._begun_s = time.monotonic() if begun_s is None else begun_s
        self._saved_at_s = self._begun_s

    @property
    def used_s(self) -> float:
        """Running time of all sessions so far, in seconds."""
        return self.before_s + time.monotonic() - self._begun_s

    def save(self, *, now: bool = False) -> None:
        """Store the running time of all sessions, at most every SAVE_PERIOD_S, or `now`. Raises StorageError."""
        at_s = time.monotonic()
        if now or at_s - self._saved_at_s >= SAVE_PERIOD_S:
            self._saved_at_s = at_s
            write_json(self._path, {**self._read(), self._key: round(self.used_s, 3)})

    def _read(self) -> Mapping[str, Any]:
        return checked(read_json(self._path) or {}, StoredClock, self._path)
