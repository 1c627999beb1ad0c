"""A further process of a training: runs the commands of the first one, and ends with it.

Run as ``python -m foldtune.trainers.fitting.worker FD RANK SIZE DEVICE PARENT``; FD is an inherited connection.
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

import torch
from torch.distributed import DistError

from foldtune.errors import Disconnected, FoldtuneError, MemoryExhausted
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
