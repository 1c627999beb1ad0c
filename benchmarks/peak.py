"""Peak memory of this process and its descendants together."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.memory import pss_bytes

_EVERY_S = 0.1


class Peak:
    """Peak so far, in bytes."""

    bytes = 0


@contextmanager
def watch_memory() -> Iterator[Peak]:
    """Sample the proportional set sizes of this process and its descendants ten times a second.

    A shared page counts once; mapped files count as far as they are in memory.
    """
    peak, done = Peak(), threading.Event()

    def sample() -> None:
        while not done.wait(_EVERY_S):
            peak.bytes = max(peak.bytes, _total_bytes())

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak.bytes = max(peak.bytes, _total_bytes())


def _total_bytes() -> int:
    total = pss_bytes(os.getpid())
    for child in psutil.Process().children(recursive=True):
        try:
            total += pss_bytes(child.pid)
        except (OSError, StopIteration):  # it has ended
            continue
    return total
