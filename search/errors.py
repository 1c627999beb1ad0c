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
    """One line naming what was given, the nearest valid name and all valid ones.

    >>> unknown("voting", "Soft", ("hard", "soft"))
    "unknown voting 'Soft'; did you mean 'soft'? (valid: hard, soft)"
    """
    names = sorted(valid)
    near = nearest(given, names)
    hint = f"; did you mean {near!r}?" if near else ""
    return f"unknown {kind} {given!r}{hint} (valid: {', '.join(names)})"


def nearest(given: str, valid: Iterable[str]) -> str | None:
    """The name that was probably meant: alike whatever its case, or one that `given` begins."""
    folded = {name.casefold(): name for name in valid}
    wanted = given.casefold()
    close = get_close_matches(wanted, folded, n=1) or [name for name in folded if wanted and name.startswith(wanted)]
    return folded[close[0]] if close else None
