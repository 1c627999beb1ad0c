"""Ends the command where the head of its Ray cluster is gone: Ray itself would wait for it, silently, for minutes."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

LOOK_EVERY_S = 2.0
GONE_AFTER_S = 20.0
"""Seconds without an answer after which a head is gone; one that restarts with its state comes back sooner."""
FAILED = 1


@contextmanager
def watching_head(address: str, farewell: str) -> Iterator[None]:
    """While the block runs, see whether anybody listens at the head's address, and else end the process.

    It ends at once, with FAILED and the words of `farewell` on stderr: with the head gone Ray's own calls, its
    shutdown among them, need not return. What a killed process loses is lost, which is no more than an epoch a trial.

    Args:
        address: host:port of the head's control service.
        farewell: what to say in the end.
    """
    ended = threading.Event()
    threading.Thread(target=_watch, args=(address, farewell, ended), daemon=True).start()
    try:
        yield
    finally:
        # Otherwise what follows the block may be what never returns.
        if listens(address):
            ended.set()


def listens(address: str) -> bool:
    """Whether anybody listens at host:port."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=LOOK_EVERY_S).close()
    except OSError:
        return False
    return True


def _watch(address: str, farewell: str, ended: threading.Event) -> None:
    silent_s = 0.0
    while not ended.wait(LOOK_EVERY_S):
        silent_s = 0.0 if listens(address) else silent_s + LOOK_EVERY_S
        if silent_s >= GONE_AFTER_S and not ended.is_set():
            _end(farewell)


def _end(farewell: str) -> None:
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a live table hides it
    sys.stderr.write(f"{show_cursor}\nerror: {farewell}\n")
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(FAILED)
