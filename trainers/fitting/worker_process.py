"""A further process of a training, seen from the first one: start, messages, end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

from foldtune.errors import Disconnected, ProcessLost

SHUTDOWN_TIMEOUT_S = 10.0
"""Seconds in which a process sends why it ends, and ends."""


class WorkerProcess:
    """A process that runs `foldtune.trainers.fitting.worker`, and the connection to it.

    Args:
        rank: rank of the process, from 1; the first process has rank 0.
        device: "cpu" or "cuda".
    """

    def __init__(self, rank: int, size: int, device: str) -> None:
        self._connection, theirs = Pipe()
        with theirs:
            arguments = [theirs.fileno(), rank, size, device, os.getpid()]
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "foldtune.trainers.fitting.worker", *map(str, arguments)],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # so that its loaders end with it
            )
        self.pid = self._process.pid
        # People count from 1.
        self.name = f"process {rank + 1} of {size} of the training (pid {self.pid})"

    @property
    def exited(self) -> bool:
        """Whether it ended; messages may be left to receive."""
        return self._process.poll() is not None

    @property
    def ended(self) -> bool:
        """Whether it ended, with no message left to receive."""
        return self.exited and not self._has_message(0.0)

    def send(self, message: Any) -> None:
        """Send it a message. Raises Disconnected: it closed the connection."""
        try:
            self._connection.send(message)
        except OSError:
            raise Disconnected(f"{self.name} closed its connection") from None

    def receive(self, wait_s: float) -> tuple[str, Any] | None:
        """Return its next message, (kind, value) as `worker.serve` sends them; None where none comes in `wait_s`."""
        if not self._has_message(wait_s):
            return None
        try:
            message: tuple[str, Any] = self._connection.recv()
            return message
        except (EOFError, OSError):  # it closed the connection, and ends
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(SHUTDOWN_TIMEOUT_S)
            self._connection.close()
            return None

    def exit_error(self) -> ProcessLost:
        """Return the error of a process that ended, with its signal or exit code."""
        code = self._process.poll()
        killed = code is not None and code < 0
        how = f"was killed by {signal.Signals(-code).name}" if killed and code else f"ended with code {code}"
        return ProcessLost(f"{self.name} {how}")

    def close(self) -> None:
        """Close the connection, after which the process ends by itself."""
        self._connection.close()

    def terminate(self, wait_s: float = 0.0) -> None:
        """Kill it with its loaders, unless it ends by itself within `wait_s`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_s)
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._connection.close()

    def _has_message(self, wait_s: float) -> bool:
        if self._connection.closed:
            return False
        try:
            return self._connection.poll(wait_s)
        except OSError:
            return False
