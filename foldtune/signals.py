"""Ctrl-C, SIGTERM and a closed terminal: one way to stop, exit code 130."""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TypeAlias

Handler: TypeAlias = Callable[[int, FrameType | None], Any]

OTHERS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that stop a command as SIGINT does."""
_HANG_UP = getattr(signal, "SIGHUP", None)


@contextmanager
def interrupted_by_signals() -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP raise KeyboardInterrupt; one that is ignored (`nohup`) stays ignored."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with handled(interrupt, OTHERS):
        yield


@contextmanager
def handled(handler: Handler, numbers: tuple[signal.Signals, ...] = (signal.SIGINT, *OTHERS)) -> Iterator[None]:
    """While the block runs, `handler` answers these signals, of which those that are ignored stay so.

    Where the terminal has closed, what is written to it from then on goes nowhere. In a thread other than the main one
    nothing changes.
    """

    def answer(signum: int, frame: FrameType | None) -> None:
        if signum == _HANG_UP:
            leave_closed_terminal()
        handler(signum, frame)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in numbers}
    for number, old in before.items():
        if number == signal.SIGINT or old is not signal.SIG_IGN:
            signal.signal(number, answer)
    try:
        yield
    finally:
        restore(before)


def restore(handlers: Mapping[signal.Signals, Any]) -> None:
    """Set handlers that `signal.getsignal` returned; one that C installed becomes the default."""
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def own_signals() -> Iterator[None]:
    """Around a start of Ray: keep this process' answer to SIGTERM, which Ray replaces, and SIGHUP from Ray's processes.

    They have SIGHUP blocked from their start, as Ray blocks Ctrl-C in them: this process alone stops the session.

    Raises:
        KeyboardInterrupt: SIGINT or SIGTERM arrived in the block, even where the exception of its handler was lost
            (Python only prints one that is raised in a callback, such as those around a fork).
    """
    if threading.current_thread() is not threading.main_thread() or _HANG_UP is None:
        yield
        return
    before = {signal.SIGTERM: signal.getsignal(signal.SIGTERM)}
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {_HANG_UP})
    arrived: set[int] = set()
    try:
        with _recorded(arrived):
            yield
    finally:
        restore(before)
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        if arrived & {signal.SIGINT, signal.SIGTERM}:
            raise KeyboardInterrupt from None


@contextmanager
def _recorded(arrived: set[int]) -> Iterator[None]:
    """Add to `arrived` the numbers of the signals that Python handles in the block, whatever their handlers do."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    hook = sys.unraisablehook
    sys.unraisablehook = lambda lost: None if isinstance(lost.exc_value, KeyboardInterrupt | SystemExit) else hook(lost)
    try:
        yield
    finally:
        sys.unraisablehook = hook
        signal.set_wakeup_fd(before)
        with suppress(BlockingIOError):
            arrived.update(os.read(read, select.PIPE_BUF))
        os.close(read)
        os.close(write)


def leave_closed_terminal() -> None:
    """Write to nowhere from now on where stdout or stderr is a terminal that has closed, at which every write fails."""
    for descriptor in (1, 2):
        try:
            os.write(descriptor, b"")
        except OSError as error:
            if error.errno in (errno.EIO, errno.ENXIO):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, descriptor)
                os.close(null)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C and a closed terminal in a process whose parent handles them."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if _HANG_UP is not None:
        signal.signal(_HANG_UP, signal.SIG_IGN)
