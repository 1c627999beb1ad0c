"""The lock of a run: a file on a disk, a lease in an object store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from foldtune.errors import RunBusy
from foldtune.files import sweep
from foldtune.results.storage.leases import hold, is_held
from foldtune.results.storage.paths import StorePath
from foldtune.results.storage.retry import storage_errors

_TIMEOUT_S = 1.0  # longer than is_run_held holds it


@contextmanager
def hold_run(path: StorePath, what: str) -> Iterator[None]:
    """Hold a run's lock while the block runs; it is freed if the holder is killed.

    The holder removes the temporary files of killed writers first. In an object store a killed holder's lock is freed
    after `results.storage.leases.LEASE_S` seconds. Raises RunBusy, which names ``what``; StorageError.
    """
    if not isinstance(path, Path):
        with hold(path, what):
            yield
        return
    with held_file(path, f"another process is working on {what}: wait for it or stop it first"):
        sweep(path.parent)
        yield


@contextmanager
def held_file(path: Path, busy: str) -> Iterator[None]:
    """Hold the lock of a file while the block runs. Raises RunBusy with the message `busy`, StorageError."""
    lock = FileLock(path)
    with storage_errors(path, "lock"):
        try:
            lock.acquire(timeout=_TIMEOUT_S)
        except Timeout:  # an OSError, so it must not reach storage_errors
            raise RunBusy(busy) from None
    try:
        yield
    finally:
        lock.release()


def is_run_held(path: StorePath) -> bool:
    """Whether some process holds a run's lock."""
    if not isinstance(path, Path):
        return is_held(path)
    if not path.is_file():
        return False
    try:
        with FileLock(path, timeout=0):
            return False
    except Timeout:
        return True
    except OSError:  # this user has read access only
        return False
