"""The processes of a training, seen from the first one: start, commands, errors, end."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import torch

from foldtune.errors import Disconnected, MemoryExhausted, Problem, ProcessLost, SettingsError, TrialFailed
from foldtune.trainers.arrays.lazy import SpilledArray
from foldtune.trainers.fitting.epoch import run_epoch
from foldtune.trainers.fitting.fit_types import EpochResult, Logits, TrainSpec
from foldtune.trainers.fitting.rank_trainer import RankTrainer
from foldtune.trainers.fitting.worker import SHUTDOWN_TIMEOUT_S, WorkerProcess
from foldtune.trainers.parallel.process_group import ProcessGroup
from foldtune.trainers.runtime import choose_device

TIMEOUT_S = 600.0
"""Seconds that one process waits for another: far more than two shards of one batch can differ."""
_POLL_INTERVAL_S = 0.05
_ERRORS = {"failed": TrialFailed, "out_of_memory": MemoryExhausted, "lost": Disconnected}
"""Errors by the kind of a worker's message."""


class WorkerPool:
    """Processes that train together on one machine: this one is the first, the others are its children.

    The children start with the first training and stay for the next ones, until `close` or the end of this process;
    an error in one of them ends all, and the next training starts new ones. A process has one pool at work, since
    torch has one default process group.

    Args:
        processes: number of processes, at least 2. On GPUs each has its own of those that this process sees.
        device: "cpu" or "cuda"; by default GPUs where there are any.
        timeout_s: seconds without an answer after which a process counts as lost.

    Raises:
        SettingsError: fewer GPUs than processes.
    """

    def __init__(self, processes: int, device: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        if processes < 2:
            raise ValueError(f"a pool has at least 2 processes, not {processes}")
        if device not in (None, "cpu", "cuda"):
            raise ValueError(f"a pool takes the GPUs from the first on: device cuda or cpu, not {device}")
        chosen = choose_device(device)
        if chosen.type == "cuda" and (gpus := torch.cuda.device_count()) < processes:
            raise SettingsError([Problem("processes", f"{processes} need a GPU each, and this process sees {gpus}")])
        self.group = ProcessGroup(chosen, 0, processes)
        self._timeout_s = timeout_s
        self._children: list[WorkerProcess] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._trainer: RankTrainer | None = None

    @property
    def pids(self) -> tuple[int, ...]:
        """Process ids of the children; none before the first training, nor after an error."""
        return tuple(child.pid for child in self._children)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the children where there are none; they load their libraries while this process goes on."""
        if not self._children:
            ranks = range(1, self.group.size)
            self._children = [WorkerProcess(rank, self.group.size, self.group.device.type) for rank in ranks]

    def open(self, spec: TrainSpec, trainer: RankTrainer, num_workers: int) -> None:
        """Begin a training, of which this process has `trainer`.

        Raises:
            RuntimeError: an earlier one is not released yet.
            TrialFailed, ProcessLost: as `run_epoch`.
        """
        if self._trainer is not None:
            raise RuntimeError("a pool has one training at a time: close the earlier one first")
        self.start()
        if self._folder is None:
            self._connect()
        # The weights come from this process.
        spec = replace(spec, settings=replace(spec.settings, pretrained=False), weights=None)
        with self._all_running("open", spec, num_workers):
            trainer.learner.broadcast_weights()
        self._trainer = trainer

    def run_epoch(self, trainer: RankTrainer, epoch: int) -> tuple[EpochResult, Logits]:
        """Train an epoch in all processes; return this one's result, and all validation logits in the order of rows.

        Raises:
            TrialFailed: the training cannot work, for the reason of the process that noticed.
            MemoryExhausted: a process ran out of memory after its first batch.
            ProcessLost: a process died, or does not answer.
        """
        self._require(trainer)
        with self._all_running("run_epoch", epoch) as answers:
            result = run_epoch(trainer, epoch)
        parts = [part for part in (result.logits, *answers) if part is not None]
        logits = SpilledArray(sum(map(len, parts)))
        for part in parts:
            logits.append(part)
        return result, logits.to_array()

    def run(self, trainer: RankTrainer, command: str, *arguments: Any) -> None:
        """Have the other processes run a command that this one ran by itself; raises as `run_epoch`."""
        self._require(trainer)
        with self._all_running(command, *arguments):
            pass

    def release(self, trainer: RankTrainer) -> None:
        """End the training of `trainer`, where it has not ended with a process, and keep the processes."""
        if self._trainer is trainer:
            try:
                self.run(trainer, "release")
            except (TrialFailed, ProcessLost):
                return  # they are gone, and the next training starts others
            self._trainer = None

    def close(self) -> None:
        """End the children; a later training would start new ones."""
        for child in self._children:
            child.close()
        self.group.close()
        self._terminate(time.monotonic() + SHUTDOWN_TIMEOUT_S)

    def _require(self, trainer: RankTrainer) -> None:
        if self._trainer is not trainer:
            raise ProcessLost("the other processes of the training are gone; restore a checkpoint into a new one")

    def _connect(self) -> None:
        """Connect the processes, once all have loaded their libraries."""
        self._folder = tempfile.TemporaryDirectory(prefix="foldtune-pool-", ignore_cleanup_errors=True)
        rendezvous = Path(self._folder.name) / "rendezvous"
        with self._terminating_on_error():
            for child in self._children:
                self._answer(child)
        with self._all_running("connect", rendezvous, self._timeout_s):
            self.group.connect(rendezvous, self._timeout_s)

    @contextmanager
    def _all_running(self, command: str, *arguments: Any) -> Iterator[list[Any]]:
        """Have the others run `command` while the block does this process's part; then the list has their answers."""
        answers: list[Any] = []
        with self._terminating_on_error():
            for child in self._children:
                child.send((command, arguments))
            with self._aborting():
                yield answers
            answers += [self._answer(child) for child in self._children]

    @contextmanager
    def _terminating_on_error(self) -> Iterator[None]:
        """End the others where the block fails, and raise the error of the process that failed first."""
        try:
            yield
        except BaseException as error:
            cause = self._cause(error)
            self._terminate(broken=True)
            if cause is None:
                raise
            raise cause from error

    def _answer(self, child: WorkerProcess) -> Any:
        """Return the value of a process's next message; raise the error that it reports."""
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            message = child.receive(_POLL_INTERVAL_S)
            if message is not None:
                kind, value = message
                if kind in _ERRORS:
                    raise _error(kind, value)
                return value
            if child.ended:
                raise child.exit_error()
        raise ProcessLost(f"{child.name} did not answer for {self._timeout_s:g} s")

    def _cause(self, error: BaseException) -> Exception | None:
        """Return the error of another process of which `error` is but the consequence in this one, else None."""
        if not isinstance(error, Exception) or isinstance(error, TrialFailed | ProcessLost):
            return None
        deadline = time.monotonic() + SHUTDOWN_TIMEOUT_S
        pending = list(self._children)
        while pending and time.monotonic() < deadline:
            for child in list(pending):
                message = child.receive(_POLL_INTERVAL_S)
                if message is not None and message[0] in ("failed", "out_of_memory"):
                    return _error(*message)
                if message is None and child.ended:
                    return child.exit_error()
                if message is not None:  # it has no reason of its own
                    pending.remove(child)
        if not isinstance(error, Disconnected):
            return None
        return ProcessLost(f"the processes of the training lost each other: {error}")

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        """End an exchange between GPUs inside once another process died: by itself it waits for its timeout."""
        if self.group.device.type != "cuda":
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(10 * _POLL_INTERVAL_S):
                if any(child.exited for child in self._children):
                    self.group.abort()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _terminate(self, deadline: float = 0.0, *, broken: bool = False) -> None:
        """Leave no process, no connection and no file."""
        for child in self._children:
            child.terminate(max(0.0, deadline - time.monotonic()))
        self._children = []
        self._trainer = None
        self.group.close(broken=broken)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _error(kind: str, text: str) -> Exception:
    """Return the error that another process reports: its reason, and its own traceback as a note."""
    reason, _, trace = text.partition("\n")
    error = _ERRORS[kind](reason)
    if trace:
        error.add_note(f"In the other process:\n{trace}")
    return error
