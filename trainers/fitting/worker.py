"""A further process of a training: the commands of the first one, which it ends with, and how that one sees it.

Run as ``python -m foldtune.trainers.fitting.worker FD RANK SIZE DEVICE PARENT``; FD is an inherited connection.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from torch.distributed import DistError

from foldtune.errors import Disconnected, FoldtuneError, MemoryExhausted, ProcessLost
from foldtune.signals import ignore_interrupts
from foldtune.trainers.fitting.checkpoint import read_checkpoint
from foldtune.trainers.fitting.epoch import run_epoch
from foldtune.trainers.fitting.fit_types import Logits, TrainSpec
from foldtune.trainers.fitting.rank_trainer import RankTrainer
from foldtune.trainers.parallel.process_group import ProcessGroup

_POLL_INTERVAL_S = 0.5


class Worker:
    """The commands; the first process does its own part of each at the same time."""

    def __init__(self, group: ProcessGroup) -> None:
        self._group = group
        self._trainer: RankTrainer | None = None

    def connect(self, rendezvous: Path, timeout_s: float) -> None:
        """Connect to the other processes."""
        self._group.connect(rendezvous, timeout_s)

    def open(self, spec: TrainSpec, num_workers: int) -> None:
        """Begin a training with the first process's weights."""
        self.release()
        self._trainer = RankTrainer(spec, self._group, num_workers)
        self._trainer.learner.broadcast_weights()

    def run_epoch(self, epoch: int) -> Logits | None:
        """Train an epoch; return the logits of this process's validation rows, None where it has none."""
        return run_epoch(self._current, epoch).logits

    def end_epoch(self, epoch: int, value: float) -> None:
        """Set the learning rate by the metric's value."""
        self._current.end_epoch(epoch, value)

    def halve(self) -> None:
        """Halve the micro-batch."""
        self._current.learner.micro.halve()

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go on from the checkpoint that the first process read."""
        self._current.load(read_checkpoint(path, fingerprint)["learner"])

    def release(self) -> None:
        """Free the training."""
        if self._trainer is not None:
            self._trainer.close()
            self._trainer = None

    @property
    def _current(self) -> RankTrainer:
        if self._trainer is None:
            raise RuntimeError("no training was begun")
        return self._trainer


def serve(connection: Connection, worker: Worker) -> int:
    """Run commands until the first process closes the connection; return the exit code.

    Each is answered by (kind, value): "done" with the command's result; "lost" where another process left,
    "out_of_memory" and "failed" with the reason, after which this process ends.
    """
    connection.send(("done", None))  # the libraries are loaded
    while True:
        try:
            command, arguments = connection.recv()
        except (EOFError, OSError):
            worker.release()
            return 0
        try:
            answer = getattr(worker, command)(*arguments)
        except (Disconnected, DistError) as error:
            connection.send(("lost", str(error)))
            return 1
        except MemoryExhausted as error:
            connection.send(("out_of_memory", str(error)))
            return 1
        except FoldtuneError as error:
            connection.send(("failed", str(error)))
            return 1
        except Exception as error:
            # The reason in a line, and behind it all of it: the first process stores both.
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
            connection.send(("failed", f"{reason}\n{traceback.format_exc()}"))
            return 1
        connection.send(("done", answer))


def end_with(parent: int) -> None:
    """Kill this process with its loaders as soon as its parent is gone, even during an exchange."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_INTERVAL_S)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


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


def main() -> None:
    """Serve the first process."""
    descriptor, rank, size, parent = (int(sys.argv[place]) for place in (1, 2, 3, 5))
    ignore_interrupts()  # Ctrl-C is handled by the first process
    end_with(parent)
    group = ProcessGroup(torch.device(sys.argv[4]), rank, size)
    code = serve(Connection(descriptor), Worker(group))
    sys.stderr.flush()
    if code:
        os._exit(code)  # an exchange that nobody answers must not hold it
    group.close()


if __name__ == "__main__":
    main()
