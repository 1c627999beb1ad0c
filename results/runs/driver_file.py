"""Who searches a run: the process, and the Ray job that it is the command of."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass, fields
from typing import Any

import psutil

from foldtune.errors import RunCorrupt
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import read_json, write_json

NAME = "driver.json"


@dataclass(frozen=True)
class Driver:
    """The process that searches a run, or did so last.

    Attributes:
        host: its machine's name.
        pid: its number there.
        born_s: when it started, in seconds of the epoch; a number that was taken again belongs to a later one.
        job_id: of the Ray job, None where it was started in a terminal.
        job_address: of the job server that took the job.
    """

    host: str
    pid: int
    born_s: float
    job_id: str | None = None
    job_address: str | None = None

    @classmethod
    def current(cls, job_id: str | None = None, job_address: str | None = None) -> Driver:
        """This process."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time(), job_id, job_address)

    def process(self) -> psutil.Process | None:
        """The process where it still lives on this machine."""
        if self.host != socket.gethostname():
            return None
        try:
            process = psutil.Process(self.pid)
            return process if abs(process.create_time() - self.born_s) < 1.0 else None
        except psutil.Error:
            return None


def write_driver(store: RunStore, driver: Driver) -> None:
    """Say who searches a stored run; the holder of its lock does. Raises StorageError."""
    write_json(store.root / NAME, asdict(driver))


def read_driver(store: RunStore) -> Driver | None:
    """Who searches the run, or did so last; None where nobody said. Raises RunCorrupt, StorageError."""
    stored: dict[str, Any] | None = read_json(store.root / NAME)
    if stored is None:
        return None
    try:
        return Driver(**{field.name: stored[field.name] for field in fields(Driver)})
    except (KeyError, TypeError) as error:
        raise RunCorrupt(f"{store.root / NAME} lacks {error}") from None
