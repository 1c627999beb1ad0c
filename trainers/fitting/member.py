"""A further process of a training: does what the first one says, and ends with it.

Run as ``python -m foldtune.trainers.fitting.member FD RANK SIZE DEVICE PARENT``; FD is an inherited connection.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

from foldtune.errors import Disconnected, FoldtuneError
from foldtune.trainers.fitting.checkpoint import read_checkpoint
from foldtune.trainers.fitting.replica import Job, Replica
from foldtune.trainers.parallel.group import Ranks

_LOOK_EVERY_S = 0.5


class Member:
    """The commands; each is called while the first process does its own part of the same."""

    def __init__(self, group: Ranks) -> None:
        self._group = group
        self._replica: Replica | None = None

    def connect(self, meeting: Path, timeout_s: float) -> None:
        """Meet the other processes."""
        self._group.connect(meeting, timeout_s)

    def open(self, job: Job) -> None:
        """Begin a training with the first process's weights."""
        self.release()
        self._replica = Replica(job, self._group, self._group.device)
        self._replica.align()

    def run_epoch(self, epoch: int) -> Any:
        """Train this process's share; gives the logits of its validation rows, None where it has none."""
        return self._mine.run_epoch(epoch).logits

    def end_epoch(self, epoch: int, value: float) -> None:
        """Hear what the metric was."""
        self._mine.end_epoch(epoch, value)

    def halve(self) -> None:
        """Halve the micro-batch."""
        self._mine.learner.micro.halve()

    def restore(self, path: Path, fingerprint: str) -> None:
        """Go on from the checkpoint that the first process read."""
        self._mine.load(read_checkpoint(path, fingerprint)["learner"])

    def release(self) -> None:
        """Free the training."""
        if self._replica is not None:
            self._replica.close()
            self._replica = None

    @property
    def _mine(self) -> Replica:
        if self._replica is None:
            raise RuntimeError("no training was begun")
        return self._replica


def serve(line: Connection, member: Member) -> int:
    """Run commands until the first process hangs up; gives the exit code."""
    line.send(("done", None))  # the libraries are loaded
    while True:
        try:
            command, given = line.recv()
        except (EOFError, OSError):
            member.release()
            return 0
        try:
            answer = getattr(member, command)(*given)
        except Disconnected as error:
            line.send(("lost", str(error)))
            return 1
        except FoldtuneError as error:
            line.send(("failed", str(error)))
            return 1
        except Exception as error:
            traceback.print_exc()
            line.send(("failed", f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"))
            return 1
        line.send(("done", answer))


def end_with(parent: int) -> None:
    """Kill this process with its loaders as soon as its parent is gone, whatever it waits for."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def main() -> None:
    """Serve the first process."""
    descriptor, rank, size, parent = (int(sys.argv[place]) for place in (1, 2, 3, 5))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the first process's matter
    end_with(parent)
    group = Ranks(rank, size, torch.device(sys.argv[4]))
    code = serve(Connection(descriptor), Member(group))
    sys.stderr.flush()
    if code:
        os._exit(code)  # an exchange that nobody answers must not hold it
    group.leave()


if __name__ == "__main__":
    main()
