"""Ends of the trials of a search, and the time per trial once the workers are warm."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Timeline:
    """Start of a search and end of each trial in the order of their starts, in seconds since 1970."""

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
        """Mean time in seconds between two ends of trials on one worker, without the first trial of each worker.

        No worker is idle while trials are left, so the last W ends are the last of each worker, and the first W
        trials the first of each: the sum over workers of (last end - first end), over the trials in between.
        """
        first, last = self.finished[: self.workers], sorted(self.finished)[-self.workers :]
        return (sum(last) - sum(first)) / (len(self.finished) - self.workers)

    def start_up_s(self, training_s: float) -> float:
        """Return the mean time from the start to the end of the first trials, minus `training_s`, in seconds."""
        return sum(self.finished[: self.workers]) / self.workers - self.started - training_s

    @property
    def trials_an_hour(self) -> float:
        """Rate of all workers together, once warm."""
        return 3600 * self.workers / self.seconds_a_trial


def write_ends(finished: Sequence[float]) -> None:
    """Print the ends of the trials for the parent process, as the last line of the output."""
    sys.stdout.write("\n" + json.dumps(list(finished)) + "\n")


def read_ends(output: str) -> tuple[float, ...]:
    """Return the ends printed by `write_ends`."""
    return tuple(json.loads(output.strip().splitlines()[-1]))
