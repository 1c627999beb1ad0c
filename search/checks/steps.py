"""Checks one after the other, each with the keys that it reads: a wrong key hides no problem of the others."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from foldtune.errors import InputError
from foldtune.search.config.loading import FormError

T = TypeVar("T")


class Checks:
    """Runs checks; what is wrong joins the list, and the next check still runs.

    Attributes:
        problems: all that was found, those of the form first.
    """

    def __init__(self, form: FormError | None) -> None:
        self.problems: list[str] = list(form.problems) if form else []
        self._unsound: Collection[str] = form.unsound if form else ()

    def sound(self, *keys: str) -> bool:
        """Return whether these keys, and the sections that they stand in, have a value that can be used."""
        return not any(key in self._unsound or key.partition(".")[0] in self._unsound for key in keys)

    def run(self, keys: Sequence[str], step: Callable[[], T]) -> T | None:
        """Run a check that reads some keys or sections, unless one of them is unsound."""
        if not self.sound(*keys):
            return None
        try:
            return step()
        except InputError as error:
            self.problems += [problem for problem in error.problems if problem not in self.problems]
            return None
