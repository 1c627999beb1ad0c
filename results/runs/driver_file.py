"""The driver of a run: the process that searches it, and the Ray job that started it."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass, fields

import psutil

from foldtune.results.records.stored_json import StoredDriver, checked
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import read_json, write_json

NAME = "driver.json"


@dataclass(frozen=True)
class Driver:
    """The process of a run's current or last search.

    Attributes:
        born_s: start time in seconds since 1970, since process ids are reused.
        job_id: id of the Ray job, None for a start from a terminal.
        job_address: URL of the job server, None for a start from a terminal.
    """

    host: str
    pid: int
    born_s: float
    job_id: str | None = None
    job_address: str | None = None

    @classmethod
    def current(cls, job_id: str | None = None, job_address: str | None = None) -> Driver:
        """Return the calling process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time(), job_id, job_address)

    def process(self) -> psutil.Process | None:
        """Return the process if it still runs on this machine, else None."""
        if self.host != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.born_s) < 1.0 else None
        except psutil.Error:
            return None


def write_driver(store: RunStore, driver: Driver) -> None:
    """Store the driver of a run; only for the holder of the run's lock. Raises StorageError."""
    write_json(store.root / NAME, asdict(driver))


def read_driver(store: RunStore) -> Driver | None:
    """Return the current or last driver of the run; None where none is stored. Raises RunCorrupt, StorageError."""
    stored = read_json(store.root / NAME)
    if stored is None:
        return None
    checked(stored, StoredDriver, store.root / NAME)
    return Driver(**{field.name: stored[field.name] for field in fields(Driver)})
