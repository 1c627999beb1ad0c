"""Memory that reading the whole cache adds to one and to several processes.

The proportional set size counts a page shared by n processes as 1/n in each, so the sum over processes is the memory
in use (Linux, /proc/PID/smaps_rollup).
"""

from __future__ import annotations

from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from foldtune.trainers.images.cache import ImageSource

ROLLUP = "/proc/{}/smaps_rollup"
_ROWS, _WARM_UP_BATCHES = 64, 4


def is_known() -> bool:
    """Whether this system has proportional set sizes."""
    return Path(ROLLUP.format("self")).is_file()


def pss_bytes(pid: int) -> int:
    """Return the proportional set size of a process in bytes."""
    lines = Path(ROLLUP.format(pid)).read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def _worker(source: ImageSource, channel: Connection) -> None:
    """Warm up, then read every image; send a message after each step and wait for the parent's."""
    import numpy as np

    from foldtune.trainers.loading.loader import Batches, BatchReader

    batches = Batches(
        BatchReader(source, np.zeros(len(source), dtype=np.int64)), np.arange(len(source)), batch_size=_ROWS
    )
    for _ in batches.epoch(0, np.arange(min(_ROWS * _WARM_UP_BATCHES, len(source)))):
        pass  # imports and buffers are not part of the cache
    channel.send("ready")
    channel.recv()
    for _ in batches.epoch(1):
        pass
    channel.send("read")
    channel.recv()


def added_by_reading(source: ImageSource, workers: int) -> int:
    """Return the growth of the summed proportional set sizes, in bytes, as each of `workers` processes reads all."""
    context = get_context("spawn")
    channels, processes = [], []
    for _ in range(workers):
        parent, child = context.Pipe()
        process = context.Process(target=_worker, args=(source, child))
        process.start()
        channels.append(parent)
        processes.append(process)
    try:
        sizes = []
        for _ in ("ready", "read"):
            for channel in channels:
                channel.recv()
            sizes.append(sum(pss_bytes(process.pid) for process in processes if process.pid))
            for channel in channels:
                channel.send("continue")
    finally:
        for process in processes:
            process.join(timeout=30)
            process.kill()
    return sizes[1] - sizes[0]
