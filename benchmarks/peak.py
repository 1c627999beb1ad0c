"""The most memory that this process and those it starts hold at a time."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from benchmarks.memory import pss_bytes

_EVERY_S = 0.1


class Peak:
    """What :func:`watch_memory` has seen so far, in bytes."""

    bytes = 0


@contextmanager
def watch_memory() -> Iterator[Peak]:
    """Look ten times a second at the proportional set sizes of this process and all below it.

    A page that several of them share counts once; mapped files count as far as they are in memory.
    """
    peak, done = Peak(), threading.Event()

    def look() -> None:
        while not done.wait(_EVERY_S):
            peak.bytes = max(peak.bytes, _held())

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        done.set()
        thread.join()
        peak.bytes = max(peak.bytes, _held())


def _held() -> int:
    total = pss_bytes(os.getpid())
    for child in psutil.Process().children(recursive=True):
        try:
            total += pss_bytes(child.pid)
        except (OSError, StopIteration):  # it has ended
            continue
    return total
