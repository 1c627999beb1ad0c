"""One progress of several subtasks."""

from __future__ import annotations

from collections.abc import Callable


class SubtaskProgress:
    """The sum of several subtasks, each of which counts from 0, for one progress bar.

    Args:
        progress: callback (done, total) of the whole.
        total: units of all subtasks together.
    """

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def subtask(self) -> Callable[[int, int], None]:
        """Return the callback (done, total) of the next subtask."""
        before = self._done

        def report(done: int, _: int) -> None:
            self._done = before + done
            self._progress(self._done, self._total)

        return report

    def skip(self, count: int) -> None:
        """Count units that need not be done."""
        self._done += count
