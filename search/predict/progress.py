"""One progress of several pieces of work."""

from __future__ import annotations

from collections.abc import Callable


class Counter:
    """Adds up pieces of work, each of which counts from 0, for one bar."""

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def work(self) -> Callable[[int, int], None]:
        """A (done, total) callback of the next piece."""
        before = self._done

        def report(done: int, _: int) -> None:
            self._done = before + done
            self._progress(self._done, self._total)

        return report

    def skip(self, count: int) -> None:
        """Count what need not be done."""
        self._done += count
