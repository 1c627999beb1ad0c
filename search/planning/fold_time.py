"""The time of fold models in training: whether one more can start, and when those that run are ended."""

from __future__ import annotations

import math
from collections.abc import Callable


class FoldTime:
    """Knows by what finished how far the forecast is off.

    Args:
        left_s: returns the seconds left to all of it.
        vote_s: seconds to keep for the vote and the submission.
    """

    def __init__(self, left_s: Callable[[], float], vote_s: float) -> None:
        self._left_s, self._vote_s = left_s, vote_s
        self._forecast_s = self._took_s = 0.0

    @property
    def slowdown(self) -> float:
        """Return the measured seconds a forecast one, >= 1."""
        return max(1.0, self._took_s / self._forecast_s) if self._forecast_s > 0 else 1.0

    def left_s(self) -> float:
        """Return the seconds that training has."""
        return self._left_s() - self._vote_s

    def note(self, forecast_s: float, took_s: float) -> None:
        """Take the seconds of a finished fold model."""
        if math.isfinite(forecast_s):
            self._forecast_s += forecast_s
            self._took_s += took_s

    def may_start(self, forecast_s: float) -> bool:
        """Whether a fold model, or several one after the other, can end in time."""
        return forecast_s * self.slowdown <= self.left_s()

    def is_over(self) -> bool:
        """Whether what trains is to be ended."""
        return self.left_s() <= 0
