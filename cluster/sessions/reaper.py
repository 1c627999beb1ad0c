"""Ends what is left of an embedded Ray once its driver was killed; a process of its own, of the standard library alone.

Ray's processes end with their driver, but for its agents: they report the loss to the head for a minute, though that is
gone too (ray/_private/process_watcher.py). Arguments: the driver's pid and the folder of its session. The driver writes
to standard input before it ends by itself; an end of the input without that is its death.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CHECK_INTERVAL_S = 2.0
GRACE_S = 5.0
"""Seconds in which Ray's processes end by themselves."""
PROC = Path("/proc")
Process = tuple[int, int]
"""Process id and start time, in ticks since the boot of the machine: together they are never given twice."""


@contextmanager
def reaper(folder: Path) -> Iterator[None]:
    """Have what is left of the Ray in `folder` ended, should this process be killed in the block. Linux alone."""
    if not PROC.is_dir():
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,  # who reads that of the driver waits for its end
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what the terminal sends is not for it
    )
    assert process.stdin is not None
    try:
        yield
    finally:
        with suppress(OSError):
            process.stdin.write(b".")
            process.stdin.close()
        process.wait()


def main(driver: int, folder: str) -> None:
    """Wait for the driver's end; kill what it left behind, unless it ended by itself."""
    seen: set[Process] = set()
    while not select.select([sys.stdin], [], [], CHECK_INTERVAL_S)[0]:
        seen |= session_processes(driver, folder)
    if os.read(sys.stdin.fileno(), 1):
        return
    time.sleep(GRACE_S)
    for pid, start in seen:
        if _parent_and_start(pid)[1] == start:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)


def session_processes(driver: int, folder: str) -> set[Process]:
    """Return the driver's children whose command line names the folder, and all processes below them."""
    parents = {int(entry.name): _parent_and_start(int(entry.name)) for entry in PROC.glob("[0-9]*")}
    found = {pid for pid, (parent, _) in parents.items() if parent == driver and folder in _command_line(pid)}
    new = found
    while new:
        new = {pid for pid, (parent, _) in parents.items() if parent in new}
        found = found | new
    return {(pid, parents[pid][1]) for pid in found - {os.getpid()}}


def _parent_and_start(pid: int) -> tuple[int, int]:
    """Return a process's parent and start time, (0, 0) where it has ended."""
    try:
        fields = (PROC / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return 0, 0
    return int(fields[1]), int(fields[19])


def _command_line(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
