"""Ending a search early: at the user's signal, or where the driver itself cannot go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ray.tune import Stopper

from foldtune.signals import handled

REPEAT_S = 1.0
"""A signal repeated sooner is the same Ctrl-C, passed on by a program that started this one."""


class SearchStopper(Stopper):  # type: ignore[misc]
    """Called by Ray Tune in every iteration of its loop, a few times a second.

    Args:
        on_interrupt: callback of the first signal, at once; the search itself ends a little later.
        is_over: callback that returns whether the search's time is used up.

    Attributes:
        interrupted: whether a signal was received.
        timed_out: whether the time was used up while trials ran.
        failure: error of the driver, None without one.
    """

    def __init__(
        self, on_interrupt: Callable[[], None] = lambda: None, is_over: Callable[[], bool] = lambda: False
    ) -> None:
        self._on_interrupt, self._is_over = on_interrupt, is_over
        self.interrupted = self.timed_out = False
        self.failure: Exception | None = None

    def __call__(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Return False: ASHA decides whether one trial stops."""
        return False

    def stop_all(self) -> bool:
        """Return whether the search is to stop."""
        ended = self.interrupted or self.failure is not None
        self.timed_out = self.timed_out or (not ended and self._is_over())
        return ended or self.timed_out

    def fail(self, error: Exception) -> None:
        """Stop, since nothing could be recorded any more; the first error counts."""
        self.failure = self.failure or error

    @contextmanager
    def on_signals(self) -> Iterator[None]:
        """Stop cleanly at SIGINT (Ctrl-C), SIGTERM and SIGHUP (a closed terminal; not under `nohup`).

        At a second one stop at once, which loses no finished epoch.
        """

        first_s = 0.0

        def stop(signum: int, frame: object) -> None:
            nonlocal first_s
            if not self.interrupted:
                self.interrupted, first_s = True, time.monotonic()
                self._on_interrupt()
            elif time.monotonic() - first_s > REPEAT_S:
                raise KeyboardInterrupt

        with handled(stop):
            yield

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles it into its snapshots, which nobody reads back.
        return {}
