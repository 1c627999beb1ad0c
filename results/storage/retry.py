"""Retries of storage operations after transient errors, and the explanation of lasting ones."""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

from foldtune.errors import StorageDenied, StorageError, StorageFull
from foldtune.redaction import redacted
from foldtune.results.storage.paths import StorePath

T = TypeVar("T")

WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 29.0)
"""Pauses in seconds between tries: a minute in total."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED = {errno.EACCES, errno.EPERM, errno.EROFS}
_TRANSIENT_ERRNOS = {
    errno.EAGAIN,
    errno.EBUSY,  # s3fs raises it for "slow down" and "service unavailable"
    errno.ECONNABORTED,
    errno.ECONNREFUSED,
    errno.ECONNRESET,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.EIO,
    errno.ENETDOWN,
    errno.ENETRESET,
    errno.ENETUNREACH,
    errno.EPIPE,
    errno.EREMOTEIO,
    errno.ESTALE,  # of NFS, whose server came back with another handle
    errno.ETIMEDOUT,
}
_TRANSIENT_CLASSES = {
    "ClientConnectionError",
    "ClientPayloadError",
    "ConnectionError",
    "HTTPClientError",
    "OperationalError",
    "TimeoutError",
}
"""Names of the error classes of botocore, aiohttp, requests, databases and Python for an unreachable server."""

_log = logging.getLogger("foldtune.storage")


def retry_io(path: StorePath | str, action: str, call: Callable[[], T], waits_s: Sequence[float] = WAITS_S) -> T:
    """Return ``call()``, repeated after transient errors.

    Args:
        action: infinitive of what is done with it, for messages.
        waits_s: pause in seconds before each retry.

    Raises:
        StorageError: the operation fails; at once for a lasting error, else after the last retry.
    """
    for number, wait_s in enumerate(waits_s):
        try:
            return call()
        except Exception as error:
            if not is_transient(error):
                _raise_explained(error, path, action)
            if number == 0:
                reason, rest_s = _reason(error), sum(waits_s)
                _log.warning("cannot %s %s (%s): trying again for %.0f s", action, path, reason, rest_s)
            time.sleep(wait_s)
    with storage_errors(path, action):
        return call()


@contextmanager
def storage_errors(path: StorePath | str, action: str) -> Iterator[None]:
    """Turn a file system's errors in the block into StorageError with file, reason and remedy."""
    try:
        yield
    except Exception as error:
        _raise_explained(error, path, action)


def is_transient(error: Exception) -> bool:
    """Whether a repeated operation may succeed: the storage is busy or unreachable for now.

    >>> is_transient(TimeoutError()), is_transient(PermissionError())
    (True, False)
    """
    if isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNOS:
        return True
    return bool(_TRANSIENT_CLASSES & {cls.__name__ for cls in type(error).__mro__})


def _raise_explained(error: Exception, path: StorePath | str, action: str) -> NoReturn:
    """Raise the StorageError that explains ``error``; errors that do not come from storage pass unchanged."""
    what = f"cannot {action} {path}: {_reason(error)}"
    number = error.errno if isinstance(error, OSError) else None
    if number in _FULL:
        raise StorageFull(
            f"{what}. Free some space there or choose another storage; what was stored before is untouched"
        ) from error
    if isinstance(error, PermissionError) or number in _DENIED:
        raise StorageDenied(f"{what}. Check the permissions there or choose another storage") from error
    if isinstance(error, OSError) or (not isinstance(path, Path) and _is_foreign(error)):
        raise StorageError(what) from error
    raise error


def _is_foreign(error: Exception) -> bool:
    """Whether the error comes from a storage package: its own class, or an operation that it lacks."""
    module = type(error).__module__.partition(".")[0]
    return isinstance(error, NotImplementedError) or module not in {"builtins", "foldtune"}


def _reason(error: Exception) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return redacted(" ".join(str(text).split()))
