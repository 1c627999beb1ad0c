"""Ends the command once the head of its Ray cluster is lost: Ray itself would wait for it, silently, for minutes."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHECK_INTERVAL_S = 2.0
LOST_AFTER_S = 20.0
"""Seconds without an answer after which a head is lost; one that restarts with its state comes back sooner."""
EXIT_CODE = 1


@contextmanager
def head_monitor(address: str, lost_message: str) -> Iterator[None]:
    """While the block runs, check whether a process listens at the head's address; end this process where none does.

    It ends at once, with EXIT_CODE and `lost_message` on stderr: with the head lost Ray's own calls, its shutdown
    among them, may never return. At most one epoch of each trial is lost, as with a killed process.

    Args:
        address: host:port of the head's control service.
        lost_message: text after "error: ".
    """
    ended = threading.Event()
    threading.Thread(target=_monitor, args=(address, lost_message, ended), daemon=True).start()
    try:
        yield
    finally:
        # With the head lost, the monitor goes on, since what follows the block may never return.
        if listens(address):
            ended.set()


def listens(address: str) -> bool:
    """Return whether a process listens at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CHECK_INTERVAL_S).close()
    except OSError:
        return False
    return True


def _monitor(address: str, lost_message: str, ended: threading.Event) -> None:
    unreachable_s = 0.0
    while not ended.wait(CHECK_INTERVAL_S):
        unreachable_s = 0.0 if listens(address) else unreachable_s + CHECK_INTERVAL_S
        if unreachable_s >= LOST_AFTER_S and not ended.is_set():
            _exit(lost_message)


def _exit(lost_message: str) -> None:
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a live table hides it
    sys.stderr.write(f"{show_cursor}\nerror: {lost_message}\n")
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(EXIT_CODE)
