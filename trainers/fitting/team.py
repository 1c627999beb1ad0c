"""The processes of a training, as the first one leads them: told what to do, watched, ended together."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import torch

from foldtune.errors import Disconnected, Problem, ProcessLost, SettingsError, TrialFailed
from foldtune.trainers.arrays.spill import SpilledArray
from foldtune.trainers.fitting.child import LAST_WORDS_S, Child
from foldtune.trainers.parallel.group import Ranks
from foldtune.trainers.runtime import choose_device
from foldtune.trainers.settings import without_pretrained

if TYPE_CHECKING:
    from foldtune.trainers.fitting.fit_types import Logits
    from foldtune.trainers.fitting.replica import Job, Replica, Trained

TIMEOUT_S = 600.0
"""Seconds that one process waits for another: far more than two shares of one batch can differ."""
_LOOK_EVERY_S = 0.05


class Team:
    """Processes that train together on one machine: this one is the first, the others are its children.

    The children start with the first training and stay for the next ones, until `close` or the end of this process;
    whatever goes wrong in one of them ends all, and the next training starts new ones. There can be one team at work
    in a process, since torch has one default group.

    Args:
        processes: at least 2. On GPUs each has its own of those that this process sees.
        device: "cpu" or "cuda"; by default GPUs where there are any.
        timeout_s: after which a process that says nothing counts as lost.

    Raises:
        SettingsError: fewer GPUs than processes.
    """

    def __init__(self, processes: int, device: str | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        if processes < 2:
            raise ValueError(f"a team has at least 2 processes, not {processes}")
        if device not in (None, "cpu", "cuda"):
            raise ValueError(f"a team takes the GPUs from the first on: device cuda or cpu, not {device}")
        chosen = choose_device(device)
        if chosen.type == "cuda" and (gpus := torch.cuda.device_count()) < processes:
            raise SettingsError([Problem("processes", f"{processes} need a GPU each, and this process sees {gpus}")])
        self.group = Ranks(0, processes, chosen)
        self._timeout_s = timeout_s
        self._children: list[Child] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._replica: Replica | None = None

    @property
    def device(self) -> torch.device:
        """Of the first process."""
        return self.group.device

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the children; none before the first training, nor after something went wrong."""
        return tuple(child.pid for child in self._children)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the children where there are none; they load their libraries while this process goes on."""
        if not self._children:
            ranks = range(1, self.group.size)
            self._children = [Child(rank, self.group.size, self.device.type) for rank in ranks]

    def open(self, job: Job, replica: Replica) -> None:
        """Begin a training, of which this process has `replica`.

        Raises:
            RuntimeError: an earlier one is not released yet.
            TrialFailed, ProcessLost: as `run_epoch`.
        """
        if self._replica is not None:
            raise RuntimeError("a team has one training at a time: close the earlier one first")
        self.start()
        if self._folder is None:
            self._meet()
        with self._together("open", replace(job, settings=without_pretrained(job.settings))):
            replica.align()
        self._replica = replica

    def run_epoch(self, replica: Replica, epoch: int) -> tuple[Trained, Logits]:
        """Train an epoch in all processes. Gives this one's part, and all validation logits in the order of the rows.

        Raises:
            TrialFailed: the training cannot work, for the reason of the process that noticed.
            ProcessLost: a process died, or says nothing.
        """
        self._require(replica)
        with self._together("run_epoch", epoch) as answers:
            trained = replica.run_epoch(epoch)
        parts = [part for part in (trained.logits, *answers) if part is not None]
        logits = SpilledArray(sum(map(len, parts)))
        for part in parts:
            logits.append(part)
        return trained, logits.to_array()

    def ask(self, replica: Replica, command: str, *given: Any) -> None:
        """Have the other processes do what this one did by itself; raises as `run_epoch`."""
        self._require(replica)
        with self._together(command, *given):
            pass

    def release(self, replica: Replica) -> None:
        """End the training of `replica`, where it has not ended with a process, and keep the processes."""
        if self._replica is replica:
            try:
                self.ask(replica, "release")
            except (TrialFailed, ProcessLost):
                return  # they are gone, and the next training starts others
            self._replica = None

    def close(self) -> None:
        """End the children; a later training would start new ones."""
        for child in self._children:
            child.hang_up()
        self.group.leave()
        deadline = time.monotonic() + LAST_WORDS_S
        self._end(deadline)

    def _require(self, replica: Replica) -> None:
        if self._replica is not replica:
            raise ProcessLost("the other processes of the training are gone; restore a checkpoint into a new one")

    def _meet(self) -> None:
        """Connect the processes, once all have loaded their libraries and said so."""
        self._folder = tempfile.TemporaryDirectory(prefix="foldtune-team-", ignore_cleanup_errors=True)
        meeting = Path(self._folder.name) / "meeting"
        with self._ending_on_errors():
            for child in self._children:
                self._answer(child)
        with self._together("connect", meeting, self._timeout_s):
            self.group.connect(meeting, self._timeout_s)

    @contextmanager
    def _together(self, command: str, *given: Any) -> Iterator[list[Any]]:
        """Have the others run `command` while the block does this process's part; afterwards holds their answers."""
        answers: list[Any] = []
        with self._ending_on_errors():
            for child in self._children:
                child.tell((command, given))
            with self._aborting():
                yield answers
            answers += [self._answer(child) for child in self._children]

    @contextmanager
    def _ending_on_errors(self) -> Iterator[None]:
        """End the others where the block fails, and raise what they say it was where one of them knows."""
        try:
            yield
        except BaseException as error:
            cause = self._cause(error)
            self._end(broken=True)
            if cause is None:
                raise
            raise cause from error

    def _answer(self, child: Child) -> Any:
        """What a process says next."""
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            said = child.heard(_LOOK_EVERY_S)
            if said is not None:
                return _judged(*said)
            if child.ended:
                raise child.obituary()
        raise ProcessLost(f"{child.name} said nothing for {self._timeout_s:g} s")

    def _cause(self, error: BaseException) -> Exception | None:
        """What happened in another process where `error` is but its consequence in this one, else None."""
        if not isinstance(error, Exception) or isinstance(error, TrialFailed | ProcessLost):
            return None
        deadline = time.monotonic() + LAST_WORDS_S
        unheard = list(self._children)
        while unheard and time.monotonic() < deadline:
            for child in list(unheard):
                said = child.heard(_LOOK_EVERY_S)
                if said is not None and said[0] == "failed":
                    return TrialFailed(said[1])
                if said is None and child.ended:
                    return child.obituary()
                if said is not None:  # it knows no more than this one
                    unheard.remove(child)
        if not isinstance(error, Disconnected):
            return None
        return ProcessLost(f"the processes of the training lost each other: {error}")

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        """Inside, an exchange between GPUs whose other side died is ended: by itself it waits for its timeout."""
        if self.device.type != "cuda":
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(10 * _LOOK_EVERY_S):
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

    def _end(self, deadline: float = 0.0, *, broken: bool = False) -> None:
        """Leave nothing: no process, no connection, no file."""
        for child in self._children:
            child.end(max(0.0, deadline - time.monotonic()))
        self._children = []
        self._replica = None
        self.group.leave(broken=broken)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None


def _judged(kind: str, value: Any) -> Any:
    """The answer in what a process said; raises where it is none."""
    if kind == "failed":
        raise TrialFailed(value)
    if kind == "lost":
        raise Disconnected(value)
    return value
