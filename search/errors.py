"""What a command may end with: the user's mistake (exit 2) or failed work (exit 1)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class FoldtuneError(Exception):
    """Base of every error that a command reports in words, without a traceback."""

    exit_code = 1


class InputError(FoldtuneError):
    """The input is wrong: every problem found, one a line, each with what is valid."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class WorkError(FoldtuneError):
    """The work failed: what failed, and where to read more."""


def unknown(kind: str, given: str, valid: Iterable[str]) -> str:
    """One line naming what was given, the nearest valid name and all valid ones."""
    names = sorted(valid)
    near = get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {kind} {given!r}{hint} (valid: {', '.join(names)})"
