"""The further processes of a training, as the first one sees them: started, told what to do, watched, ended."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from trainers.errors import Problem, SettingsError, TrialFailed
from trainers.models import without_pretrained
from trainers.parallel.errors import Disconnected, ProcessLost
from trainers.parallel.group import Ranks
from trainers.runtime import choose_device

if TYPE_CHECKING:
    from trainers.fit_types import Logits
    from trainers.replica import Job, Replica, Trained

TIMEOUT_S = 600.0
"""Seconds that one process waits for another: far more than two shares of one batch can differ."""
_LAST_WORDS_S = 10.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True, eq=False)
class _Member:
    """Another process: its number for messages, counted from 1 as people do, and the line to it."""

    number: int
    process: subprocess.Popen[bytes]
    line: Connection


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
        self._members: list[_Member] = []
        self._folder: Path | None = None
        self._busy = False

    @property
    def device(self) -> torch.device:
        """Of the first process."""
        return self.group.device

    @property
    def pids(self) -> tuple[int, ...]:
        """Of the children; none before the first training, nor after something went wrong."""
        return tuple(member.process.pid for member in self._members)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the children where there are none; they load their libraries while this process goes on."""
        if not self._members:
            self._members = [self._started(rank) for rank in range(1, self.group.size)]

    def open(self, job: Job, replica: Replica) -> None:
        """Begin a training, of which this process has `replica`.

        Raises:
            RuntimeError: an earlier one is not released yet.
            TrialFailed, ProcessLost: as `run_epoch`.
        """
        if self._busy:
            raise RuntimeError("the team has one training at a time: close the last one first")
        self.start()
        if self._folder is None:
            self._meet()
        with self._together("open", replace(job, settings=without_pretrained(job.settings))):
            replica.align()
        self._busy = True

    def run_epoch(self, replica: Replica, epoch: int) -> tuple[Trained, Logits]:
        """Train an epoch in all processes. Gives this one's part, and all validation logits in the order of the rows.

        Raises:
            TrialFailed: the training cannot work, for the reason of the process that noticed.
            ProcessLost: a process died, or says nothing.
        """
        with self._together("run_epoch", epoch) as answers:
            trained = replica.run_epoch(epoch)
        logits = np.concatenate([part for part in (trained.logits, *answers) if part is not None])
        return trained, logits

    def ask(self, command: str, *given: Any) -> None:
        """Have the other processes do what this one did by itself; raises as `run_epoch`."""
        with self._together(command, *given):
            pass

    def release(self) -> None:
        """End the training and keep the processes; nothing where they are gone."""
        self._busy = False
        if self._members:
            with suppress(ProcessLost, TrialFailed):
                self.ask("release")

    def close(self) -> None:
        """End the children; a later training would start new ones."""
        for member in self._members:
            member.line.close()  # which tells them
        self.group.leave()
        deadline = time.monotonic() + _LAST_WORDS_S
        for member in self._members:
            with suppress(subprocess.TimeoutExpired):
                member.process.wait(max(0.0, deadline - time.monotonic()))
        self._end()

    def _started(self, rank: int) -> _Member:
        ours, theirs = Pipe()
        with theirs:
            command = [sys.executable, "-m", "trainers.parallel.member", str(theirs.fileno())]
            process = subprocess.Popen(
                [*command, str(rank), str(self.group.size), self.device.type, str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # so that its loaders end with it
            )
        return _Member(rank + 1, process, ours)

    def _meet(self) -> None:
        """Connect the processes, once all are there."""
        folder = Path(tempfile.mkdtemp(prefix="foldtune-team-"))
        self._folder = folder
        with self._together("connect", folder / "meeting", self._timeout_s):
            self.group.connect(folder / "meeting", self._timeout_s)

    @contextmanager
    def _together(self, command: str, *given: Any) -> Iterator[list[Any]]:
        """Have the others run `command` while the block does this process's part; afterwards holds their answers."""
        answers: list[Any] = []
        try:
            self._greet(command)
            for member in self._members:
                self._tell(member, (command, given))
            with self._aborting():
                yield answers
            answers += [self._answer(member) for member in self._members]
        except BaseException as error:
            told = self._told(error)
            self._end(broken=True)
            if told is not None:
                raise told from error
            raise

    def _greet(self, command: str) -> None:
        if not self._members:
            raise ProcessLost("the other processes of the training are gone; restore a checkpoint into a new one")
        if command == "connect":
            for member in self._members:
                self._answer(member)  # its first word, once its libraries are loaded

    def _tell(self, member: _Member, message: Any) -> None:
        try:
            member.line.send(message)
        except OSError:
            raise Disconnected(self._name(member)) from None

    def _answer(self, member: _Member) -> Any:
        """What a process says next."""
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            if (said := self._heard(member, _LOOK_EVERY_S)) is not None:
                kind, value = said
                if kind == "done":
                    return value
                if kind == "failed":
                    raise TrialFailed(value)
                raise Disconnected(value)
            if member.process.poll() is not None and not member.line.poll():
                raise self._lost(member)
        raise ProcessLost(f"{self._name(member)} said nothing for {self._timeout_s:g} s")

    def _told(self, error: BaseException) -> Exception | None:
        """The cause in another process where `error` is but its consequence here, else None."""
        if not isinstance(error, Exception) or isinstance(error, TrialFailed | ProcessLost):
            return None
        deadline = time.monotonic() + _LAST_WORDS_S
        silent = list(self._members)
        while silent and time.monotonic() < deadline:
            for member in list(silent):
                said = self._heard(member, _LOOK_EVERY_S)
                if said is None and member.process.poll() is None:
                    continue
                if said is None and not member.line.poll():
                    return self._lost(member)
                if said is not None and said[0] == "failed":
                    return TrialFailed(said[1])
                if said is not None and said[0] == "lost":
                    silent.remove(member)
        return ProcessLost(f"the processes of the training lost each other: {error}") if _is_lost(error) else None

    def _heard(self, member: _Member, wait_s: float) -> tuple[str, Any] | None:
        """The next words of a process, None where there are none."""
        try:
            return member.line.recv() if member.line.poll(wait_s) else None
        except (EOFError, OSError):
            with suppress(subprocess.TimeoutExpired):
                member.process.wait(_LAST_WORDS_S)
            return None

    def _lost(self, member: _Member) -> ProcessLost:
        code = member.process.poll()
        how = f"ended with code {code}" if code is None or code >= 0 else f"was killed by {signal.Signals(-code).name}"
        return ProcessLost(f"{self._name(member)} {how}")

    def _name(self, member: _Member) -> str:
        return f"process {member.number} of {self.group.size} of the training (pid {member.process.pid})"

    @contextmanager
    def _aborting(self) -> Iterator[None]:
        """Inside, an exchange between GPUs whose other side died is ended: by itself it waits for its timeout."""
        if self.device.type != "cuda":
            yield
            return
        over = threading.Event()

        def watch() -> None:
            while not over.wait(10 * _LOOK_EVERY_S):
                if any(member.process.poll() is not None for member in self._members):
                    self.group.abort()
                    return

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _end(self, *, broken: bool = False) -> None:
        """Leave nothing: no process, no connection, no file."""
        for member in self._members:
            if member.process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(member.process.pid, signal.SIGKILL)
            member.process.wait()
            member.line.close()
        self._members = []
        self._busy = False
        self.group.leave(broken=broken)
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None


def _is_lost(error: BaseException) -> bool:
    return isinstance(error, Disconnected)
