"""What becomes of a trial whose worker died: it goes on, it goes on in smaller parts, or it is a failure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

MOST_DEATHS = 3
"""Deaths without an epoch in between after which a trial is a failure."""
MOST_HALVINGS = 1
"""Times that a trial is started again with half the micro-batch because its node ran out of memory."""
_OUT_OF_MEMORY = "running low on memory"
"""What Ray says where its memory monitor ended a worker."""
_DEAD, _ADVICE = "The actor is dead because", "Some common causes include"
"""Where in Ray's words its reason begins, and where its guesses do."""


@dataclass(frozen=True)
class Cause:
    """Why a worker died.

    Attributes:
        kind: `silent` was ended by us, since it reported nothing; `memory` by Ray, since its node ran out of host
            memory; `lost` is all else: killed, crashed, or gone with its node.
        reason: in one line.
    """

    kind: Literal["silent", "memory", "lost"]
    reason: str


def noted_cause(error_file: str | None) -> Cause:
    """The cause of the last death in the file where Ray Tune notes a trial's errors."""
    path = Path(error_file or "")
    noted = path.read_text(errors="replace") if path.is_file() else ""
    _, _, last = noted.rpartition("Failure #")
    lines = [line.strip() for line in last.split("\n")[1:] if line.strip()]
    if any(_OUT_OF_MEMORY in line for line in lines):
        return Cause("memory", "its node ran out of host memory, and Ray ended the worker")
    return Cause("lost", _reason(lines)[:300] or "no reason was noted")


def _reason(lines: list[str]) -> str:
    """The error of a traceback, else what Ray says of a worker's end without its advice."""
    if any(line.startswith('File "') for line in lines):
        return lines[-1].partition(": ")[2] or lines[-1]
    text = " ".join(lines).partition(_ADVICE)[0].rstrip()
    return text[max(0, text.find(_DEAD)) :]


class Deaths:
    """Judges deaths. One object in the driver; what it counts lasts for one sitting.

    Args:
        cause: tells why a trial's worker died last.
    """

    def __init__(self, cause: Callable[[str], Cause]) -> None:
        self._cause = cause
        self._lost: Counter[tuple[str, int]] = Counter()
        self._memory: Counter[str] = Counter()
        self._last: dict[str, Cause] = {}

    def goes_on(self, trial_id: str, epoch: int) -> bool:
        """Whether a trial whose worker died after `epoch` epochs is to go on from its checkpoint."""
        cause = self._last[trial_id] = self._cause(trial_id)
        if cause.kind == "silent":
            return False
        if cause.kind == "memory":
            self._memory[trial_id] += 1
            return self._memory[trial_id] <= MOST_HALVINGS
        self._lost[trial_id, epoch] += 1
        return self._lost[trial_id, epoch] <= MOST_DEATHS

    def halvings(self, trial_id: str) -> int:
        """How often the trial's micro-batch is to be halved at its next start."""
        cause = self._last.get(trial_id)
        return 1 if cause is not None and cause.kind == "memory" else 0

    def reason(self, trial_id: str) -> str:
        """Why the trial's worker died last, in one line."""
        return self._last[trial_id].reason

    def verdict(self, trial_id: str) -> str:
        """Why a trial that does not go on has failed, in one line."""
        cause = self._last[trial_id]
        if cause.kind == "memory":
            return f"{cause.reason}; again with half the micro-batch"
        if cause.kind == "lost":
            times = MOST_DEATHS + 1
            return f"its worker died {times} times without an epoch in between; the last time: {cause.reason}"
        return cause.reason
