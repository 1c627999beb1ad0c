"""A trial whose worker died: it resumes, it resumes with half the micro-batch, or it has failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ray.exceptions import ActorDiedError, OutOfMemoryError

from foldtune.cluster.ray_internals import translate_actor_failures
from foldtune.redaction import without_colours

MAX_RETRIES = 3
"""Retries without an epoch in between; one death more and the trial has failed."""
MAX_HALVINGS = 1
"""Retries with half the micro-batch of a trial whose node ran out of memory."""
_OUT_OF_MEMORY = "running low on memory"
"""Part of Ray's message where its memory monitor ended a worker."""
_DEAD, _ADVICE = "The actor is dead because", "Some common causes include"
"""Begin of the reason, and of the guesses, in Ray's message about a dead actor."""


@dataclass(frozen=True)
class Cause:
    """Why a worker died.

    Attributes:
        kind: `timeout`, ended by the watchdog for want of a report; `memory`, ended by Ray on a node without host
            memory; `lost`, all else: killed, crashed, or lost with its node.
        reason: one line.
        details: all that was noted, without colours; "" where that is no more.
    """

    kind: Literal["timeout", "memory", "lost"]
    reason: str
    details: str = field(default="", compare=False)


def noted_cause(error_file: str | None) -> Cause:
    """Return the cause of the last death in the file to which Ray Tune writes a trial's errors."""
    path = Path(error_file or "")
    noted = without_colours(path.read_text(errors="replace")) if path.is_file() else ""
    _, _, last = noted.rpartition("Failure #")
    lines = [line.rstrip() for line in last.split("\n")[1:] if line.strip()]
    details = "\n".join(lines)
    if any(_OUT_OF_MEMORY in line for line in lines):
        return Cause("memory", "its node ran out of host memory, and Ray ended the worker", details)
    return Cause("lost", _reason(lines)[:300] or "no reason was noted", details)


def _reason(lines: list[str]) -> str:
    """The last error of a traceback, else Ray's message about the worker's end without its advice."""
    frames = [place for place, line in enumerate(lines) if line.lstrip().startswith('File "')]
    if frames:
        behind = [line for line in lines[frames[-1] + 1 :] if not line.startswith(" ")] or lines[-1:]
        first = behind[0].strip()
        return first.partition(": ")[2] or first
    text = " ".join(line.strip() for line in lines).partition(_ADVICE)[0].rstrip()
    return text[max(0, text.find(_DEAD)) :]


class WorkerRetryPolicy:
    """Decides whether a trial is retried after its worker died. One object in the driver, for one session.

    Args:
        cause: callback that returns the cause of the last death of a trial's worker by trial id.
    """

    def __init__(self, cause: Callable[[str], Cause]) -> None:
        self._cause = cause
        self._lost: Counter[tuple[str, int]] = Counter()
        self._memory: Counter[str] = Counter()
        self._last: dict[str, Cause] = {}

    def should_retry(self, trial_id: str, epoch: int) -> bool:
        """Count a death after `epoch` epochs; return whether the trial is to resume from its checkpoint."""
        cause = self._last[trial_id] = self._cause(trial_id)
        if cause.kind == "timeout":
            return False
        if cause.kind == "memory":
            self._memory[trial_id] += 1
            return self._memory[trial_id] <= MAX_HALVINGS
        self._lost[trial_id, epoch] += 1
        return self._lost[trial_id, epoch] <= MAX_RETRIES

    def halvings(self, trial_id: str) -> int:
        """Return how often the trial's micro-batch is to be halved at its next start, 0 or 1."""
        cause = self._last.get(trial_id)
        return 1 if cause is not None and cause.kind == "memory" else 0

    def reason(self, trial_id: str) -> str:
        """Return the reason of the last death of the trial's worker, one line."""
        return self._last[trial_id].reason

    def is_trials_own(self, trial_id: str) -> bool:
        """Whether the trial itself is to blame for the last death of its worker: it did not report."""
        return self._last[trial_id].kind == "timeout"

    def details(self, trial_id: str) -> str:
        """Return all that was noted of the last death of the trial's worker, "" where nothing was."""
        return self._last[trial_id].details

    def failure_message(self, trial_id: str) -> str:
        """Return why a trial that is not retried has failed, one line."""
        cause = self._last[trial_id]
        if cause.kind == "memory":
            return f"{cause.reason}; again with half the micro-batch"
        if cause.kind == "lost":
            times = MAX_RETRIES + 1
            return f"its worker died {times} times without an epoch in between; the last time: {cause.reason}"
        return cause.reason


class MemoryDeath(ActorDiedError):  # type: ignore[misc]
    """The memory monitor ended the worker, as an error that Ray Tune handles."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.message = message

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[MemoryDeath], tuple[str]]:
        return MemoryDeath, (self.message,)


@contextmanager
def memory_deaths() -> Iterator[None]:
    """While the block runs, Ray Tune handles a worker that the memory monitor ended as a dead one."""
    with translate_actor_failures(lambda each: MemoryDeath(str(each)) if isinstance(each, OutOfMemoryError) else each):
        yield
