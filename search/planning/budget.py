"""The time that a command has: a limit of its running time, a moment at which it ends, both, or neither."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

Clock = Callable[[], float]


class Budget:
    """Running time, from its creation on.

    Args:
        limit_s: seconds of running time, > 0, None without a limit. A pause between two sessions does not count.
        ends_at_s: seconds since 1970 at which it ends, None without such a moment. A pause counts.
        used_before_s: running time of earlier sessions, >= 0.
        clock: seconds that only rise, of which differences count.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        limit_s: float | None = None,
        *,
        ends_at_s: float | None = None,
        used_before_s: float = 0.0,
        clock: Clock = time.monotonic,
        wall: Clock = time.time,
    ) -> None:
        self._limit_s, self._ends_at_s = limit_s, ends_at_s
        self._used_before_s = used_before_s
        self._clock, self._wall = clock, wall
        self._started_s = clock()
        self.total_s = self.used_s() + self.left_s()
        """Seconds from the first session's start to the end, infinite without a limit."""

    @property
    def is_limited(self) -> bool:
        """Whether it ends at all."""
        return self._limit_s is not None or self._ends_at_s is not None

    def used_s(self) -> float:
        """Return the running time so far, earlier sessions' too."""
        return self._used_before_s + self._clock() - self._started_s

    def left_s(self) -> float:
        """Return the seconds to its end, negative after it; infinite without a limit."""
        by_limit = math.inf if self._limit_s is None else self._limit_s - self.used_s()
        by_moment = math.inf if self._ends_at_s is None else self._ends_at_s - self._wall()
        return min(by_limit, by_moment)

    def less(self, seconds: float) -> Budget:
        """Return the same budget with an end so many seconds earlier."""
        limit_s = None if self._limit_s is None else self._limit_s - seconds
        ends_at_s = None if self._ends_at_s is None else self._ends_at_s - seconds
        return Budget(limit_s, ends_at_s=ends_at_s, used_before_s=self.used_s(), clock=self._clock, wall=self._wall)

    def part(self, share: float, limit_s: float | None = None) -> Budget:
        """Return the budget of a part of the work that starts now.

        Args:
            share: part of what is left, above 0 to 1.
            limit_s: the part's own limit, None without one.
        """
        left_s = self.left_s()
        own = [each for each in (limit_s, None if math.isinf(left_s) else share * left_s) if each is not None]
        return Budget(min(own, default=None), clock=self._clock, wall=self._wall)
