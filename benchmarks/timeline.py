"""When the trials of a search ended, and what one trial took once the workers were warm."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timeline:
    """Wall-clock times in seconds: `started`, and the end of each trial in the order of their start."""

    started: float
    finished: tuple[float, ...]
    workers: int

    def __post_init__(self) -> None:
        if len(self.finished) <= self.workers:
            raise ValueError(
                f"{len(self.finished)} trials leave none to time after the first of {self.workers} workers"
            )

    @property
    def seconds_a_trial(self) -> float:
        """Mean time between two ends of trials on one worker, the cold first trial of each worker left out.

        No worker waits while trials are left, so the last W ends are the last of each worker, and the first W
        trials the first of each. The sum over workers of (last end - first end), over the trials in between.
        """
        first, last = self.finished[: self.workers], sorted(self.finished)[-self.workers :]
        return (sum(last) - sum(first)) / (len(self.finished) - self.workers)

    def start_up_s(self, training_s: float) -> float:
        """From the start to the end of the first trials, their training left out."""
        return sum(self.finished[: self.workers]) / self.workers - self.started - training_s

    @property
    def trials_an_hour(self) -> float:
        """Of all workers, once warm."""
        return 3600 * self.workers / self.seconds_a_trial


def write_ends(finished: Sequence[float]) -> None:
    """Hand the ends of the trials to the process that started this one: the last line of the output."""
    sys.stdout.write("\n" + json.dumps(list(finished)) + "\n")


def read_ends(output: str) -> tuple[float, ...]:
    """What `write_ends` wrote."""
    return tuple(json.loads(output.strip().splitlines()[-1]))
