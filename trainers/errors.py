"""Errors that trainers raises on purpose. Each message is written for the person who runs the search."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One wrong setting: its dotted path (``loss.gamma``) and what is wrong with it."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class TrainersError(Exception):
    """Base of all errors of this package."""


class DataError(TrainersError):
    """The user's data is wrong; `problems` holds everything found, one entry each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__(self.problems)  # args rebuild the error after pickling

    def __str__(self) -> str:
        return "\n".join(self.problems)


class SettingsError(TrainersError):
    """Settings are wrong; `problems` holds every one of them with its path."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)  # args rebuild the error after pickling

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class TrialFailed(TrainersError):
    """This one training cannot work and must not be retried; the text is a one-line reason."""


def unknown(kind: str, given: str, valid: Iterable[str]) -> str:
    """One line for a name that does not exist: the nearest valid name, then all valid ones."""
    names = list(valid)
    near = difflib.get_close_matches(str(given), names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ";"
    return f"unknown {kind} '{given}'{hint} valid: {', '.join(names)}"
