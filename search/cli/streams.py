"""Standard streams of a command: of any encoding, closed, or full. Imports nothing heavy."""

from __future__ import annotations

import codecs
import os
import select
import sys
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, Any, cast

_BROKEN = select.POLLERR | select.POLLNVAL


def prepare_streams() -> None:
    """Make stdout and stderr take any text: what their encoding lacks is replaced, and a closed one is discarded."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before this process began
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - for the whole process
        elif reconfigure := getattr(stream, "reconfigure", None):
            # A name of a file may hold bytes that are no UTF-8.
            reconfigure(errors="backslashreplace" if is_unicode(stream) else "replace")


def is_unicode(stream: Any) -> bool:
    """Whether a stream's encoding has every character."""
    try:
        return codecs.lookup(stream.encoding).name.startswith("utf")
    except (LookupError, TypeError, AttributeError):
        return False


def discard(stream: IO[str]) -> None:
    """Send what is written to a stream from now on to nowhere, so that the work goes on without its reader."""
    with suppress(OSError, ValueError, AttributeError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, stream.fileno())
        os.close(descriptor)


def is_discarded(stream: IO[str]) -> bool:
    """Whether what is written to a stream goes to nowhere, as after `discard`."""
    try:
        return os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))
    except (OSError, ValueError, AttributeError):
        return False


def expendable(stream: IO[str]) -> IO[str]:
    """Return a stream for what the work does not need: discarded once it cannot be written, as on a full disk."""
    return cast("IO[str]", _Expendable(stream))


class _Expendable:
    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            discard(self._stream)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            discard(self._stream)


def discard_broken() -> bool:
    """Discard those of stdout and stderr whose reader is gone; return whether there was one."""
    broken = [stream for stream in _streams() if _is_broken(stream)]
    for stream in broken:
        discard(stream)
    return bool(broken)


def flush_or_discard() -> None:
    """Flush stdout and stderr; what cannot be written is dropped here, not by Python at its exit."""
    for stream in _streams():
        try:
            stream.flush()
        except (OSError, ValueError):
            discard(stream)


def _streams() -> Iterator[Any]:
    return (stream for stream in (sys.stdout, sys.stderr) if stream is not None)


def _is_broken(stream: IO[str]) -> bool:
    try:
        poll = select.poll()
        poll.register(stream.fileno(), 0)
        return any(event & _BROKEN for _, event in poll.poll(0))
    except (OSError, ValueError, AttributeError):
        return False
