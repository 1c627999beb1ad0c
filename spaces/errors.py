"""What is wrong with a space: every problem found, each with the dotted path of its place."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `path` is dotted (`loss.focal.gamma`), empty where the whole is meant."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


class SpaceError(ValueError):
    """A space, or a configuration offered to it, is wrong. `problems` holds everything that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(problems)
        super().__init__(self.problems)  # what pickle calls the class with again

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def unknown(kind: str, given: object, valid: Iterable[object]) -> str:
    """One line that says what was given, the nearest valid name and all valid ones.

    >>> unknown("preset", "quik", ["long_tail", "quick"])
    "unknown preset 'quik'; did you mean 'quick'? valid: long_tail, quick"
    """
    names = [str(name) for name in valid]
    nearest = difflib.get_close_matches(str(given), names, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return f"unknown {kind} {given!r}; {hint}valid: {', '.join(names)}"
