"""A further process of a training, as the first one sees it: started, spoken to, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

from foldtune.errors import Disconnected, ProcessLost

LAST_WORDS_S = 10.0
"""Seconds that a process has for saying why it ends, and for ending."""


class Child:
    """A process of rank `rank` that runs `trainers.fitting.member`, and the line to it.

    Args:
        size: processes in all.
        device: "cpu" or "cuda".
    """

    def __init__(self, rank: int, size: int, device: str) -> None:
        self._line, theirs = Pipe()
        with theirs:
            given = [theirs.fileno(), rank, size, device, os.getpid()]
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "foldtune.trainers.fitting.member", *map(str, given)],
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
        """Whether it ended; what it said last may still be heard."""
        return self._process.poll() is not None

    @property
    def ended(self) -> bool:
        """Whether it ended, with nothing left to be heard."""
        return self.exited and not self._speaks(0.0)

    def tell(self, message: Any) -> None:
        """Say something to it.

        Raises:
            Disconnected: it hung up.
        """
        try:
            self._line.send(message)
        except OSError:
            raise Disconnected(f"{self.name} hung up") from None

    def heard(self, wait_s: float) -> tuple[str, Any] | None:
        """Its next words, None where it says nothing within `wait_s`: what they are (done, failed, lost), and what."""
        if not self._speaks(wait_s):
            return None
        try:
            said: tuple[str, Any] = self._line.recv()
            return said
        except (EOFError, OSError):  # it hung up, and ends
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(LAST_WORDS_S)
            self._line.close()
            return None

    def obituary(self) -> ProcessLost:
        """How it ended."""
        code = self._process.poll()
        killed = code is not None and code < 0
        how = f"was killed by {signal.Signals(-code).name}" if killed and code else f"ended with code {code}"
        return ProcessLost(f"{self.name} {how}")

    def hang_up(self) -> None:
        """Let it end by itself."""
        self._line.close()

    def end(self, wait_s: float = 0.0) -> None:
        """Kill it with its loaders, unless it ends by itself within `wait_s`."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(wait_s)
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._line.close()

    def _speaks(self, wait_s: float) -> bool:
        if self._line.closed:
            return False
        try:
            return self._line.poll(wait_s)
        except OSError:
            return False
