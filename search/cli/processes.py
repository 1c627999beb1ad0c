"""Number of processes for work on this machine."""

from __future__ import annotations

import os


def decoder_processes() -> int:
    """Return the number of processes that decode images: one for each CPU that this process may use, >= 1."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
