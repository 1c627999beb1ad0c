"""A question that costs too much to be asked in every turn of a loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Polled(Generic[T]):
    """Gives the last answer, and asks again where that is older than `every_s` seconds."""

    def __init__(self, ask: Callable[[], T], every_s: float) -> None:
        self._ask = ask
        self._every_s = every_s
        self._answer: T | None = None
        self._asked_s = -float("inf")

    def __call__(self) -> T:
        if self._answer is None or time.monotonic() - self._asked_s >= self._every_s:
            self._answer, self._asked_s = self._ask(), time.monotonic()
        return self._answer
