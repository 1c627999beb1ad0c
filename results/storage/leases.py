"""The lock of a run in an object store, which cannot detect the death of a holder: a lease that the holder renews.

Leases are objects `.lock/000001.json`, `.lock/000002.json`, …; the highest number is the valid one. Taking the lock is
creating the next number, at which only one of several concurrent processes succeeds, and then checking that no later
one stands there. Ages are differences of the storage's own clock: those of the machines may differ. A holder whose
number is no longer the highest has lost the lock, for example while its machine was suspended, and is interrupted as by
Ctrl-C.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldtune.errors import RunBusy, RunCorrupt, StorageDenied, StorageError
from foldtune.results.storage.files import file_state, names_in, read_json, remove_file, write_bytes_atomic
from foldtune.results.storage.objects import ObjectBackend
from foldtune.results.storage.retry import retry_io

if TYPE_CHECKING:
    from upath import UPath

LEASE_S = 60.0
"""Time since the last renewal after which a holder is considered dead."""
RENEWAL_S = 10.0
"""Interval between renewals."""
_LEASE = re.compile(r"\d{6,18}\.json")
_PROBE = ".now"
"""Suffix of the empty files by which the storage's clock is read."""
_READS = 10
"""Reads in a row that other processes may spoil."""


@contextmanager
def hold(folder: UPath, what: str, *, lease_s: float = LEASE_S, renewal_s: float = RENEWAL_S) -> Iterator[None]:
    """Hold the lock in ``folder`` while the block runs. Raises RunBusy, which names ``what``; StorageError."""
    path, mine = acquire(folder, what, lease_s)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew_until, args=(path, mine, renewal_s, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        release(path, mine)


def acquire(folder: UPath, what: str, lease_s: float = LEASE_S) -> tuple[UPath, Mapping[str, Any]]:
    """Take the lock; return the lease's path and content, for `renew` and `release`.

    Raises RunBusy, which names ``what``; StorageError.
    """
    last, age_s = _newest_with_age(folder)
    if last is not None and not last.is_released() and age_s < lease_s:
        who = f"process {last.content.get('pid')} of {last.content.get('host')}"
        raise RunBusy(
            f"{who} is working on {what}: wait for it or stop it first; "
            f"if it was killed, its lease ends {lease_s:.0f} s after the last renewal, which was {age_s:.0f} s ago"
        )
    path = folder / _file_name(1 if last is None else last.number + 1)
    mine = {"owner": secrets.token_hex(8), "host": socket.gethostname(), "pid": os.getpid(), "machine": _machine()}
    # A number is free again once a later holder has removed it: whoever was slow to take it comes too late.
    if not retry_io(path, "lock", lambda: _create(path, mine)) or _is_superseded(path):
        raise RunBusy(f"another process is starting to work on {what}: wait for it or stop it first")
    _sweep(path)
    return path, mine


def renew(path: UPath, mine: Mapping[str, Any]) -> bool:
    """Renew a lease; return False where another process has taken over, so that it is lost.

    Raises whatever the storage's client raises.

    Nothing but a later lease ends one: who merely tries to take the lock leaves other files at most.
    """
    numbers = _numbers(ObjectBackend(path.parent).names())
    if max(numbers, default=0) > _number(path.name):
        return False
    _write(path, {**mine, "renewed": time.time()})
    return True


def release(path: UPath, mine: Mapping[str, Any]) -> None:
    """Give up a lease; one that cannot be released expires."""
    with suppress(Exception):  # the error of the block that held it matters more
        if not _is_superseded(path):
            _write(path, {**mine, "released": True})


def is_held(folder: UPath) -> bool:
    """Whether some process holds the lock, by the storage's clock; by this machine's where it cannot be written.

    Raises StorageError.
    """
    try:
        last, age_s = _newest_with_age(folder)
    except StorageDenied:
        last = _newest(folder)
        age_s = 0.0 if last is None else time.time() - last.renewed
    return last is not None and not last.is_released() and age_s < LEASE_S


@dataclass(frozen=True)
class _Lease:
    number: int
    content: Mapping[str, Any]
    renewed: float

    def is_released(self) -> bool:
        """Whether its holder released it, or was a process of this machine that has ended."""
        if self.content.get("released"):
            return True
        machine = _machine()
        if machine is None or self.content.get("machine") != machine:
            return False
        try:
            os.kill(int(self.content["pid"]), 0)
        except ProcessLookupError:
            return True
        except (KeyError, TypeError, ValueError, OverflowError, OSError):  # another user's, or no process id
            return False
        return False


def _newest(folder: UPath) -> _Lease | None:
    """Return the valid lease; None where there never was one."""
    for _ in range(_READS):
        numbers = _numbers(names_in(folder))
        if not numbers:
            return None
        path = folder / _file_name(max(numbers))
        state = file_state(path)
        try:
            content = read_json(path)
        except RunCorrupt:  # held by whoever wrote it, until it expires
            content = {}
        if state is not None and content is not None:  # else the next holder has removed it
            return _Lease(max(numbers), content, state.modified)
    raise StorageError(f"cannot read the leases in {folder}: they change with every read")


def _newest_with_age(folder: UPath) -> tuple[_Lease | None, float]:
    """Return the valid lease, and the seconds since its renewal, rather too few than too many.

    The clock is read before the lease: a process that is suspended in between must not take a lease for expired which
    was renewed all the time.
    """
    last = _newest(folder)
    if last is None or last.is_released():
        return last, 0.0
    now = _now(folder)
    last = _newest(folder)
    return last, 0.0 if last is None else now - last.renewed


def _now(folder: UPath) -> float:
    """Return seconds since 1970 by the storage's own clock, which dates the leases; machines' clocks may differ."""
    for _ in range(_READS):
        probe = folder / f"{secrets.token_hex(8)}{_PROBE}"
        write_bytes_atomic(probe, b"")
        state = file_state(probe)
        remove_file(probe)
        if state is not None:
            return state.modified
    raise StorageError(f"cannot read the clock of the storage of {folder}: files vanish as they are written")


def _create(path: UPath, mine: Mapping[str, Any]) -> bool:
    """Create the lease and return whether it is held, also by an earlier try whose response was lost."""
    return ObjectBackend(path).write_new(json.dumps(mine).encode()) or read_json(path) == mine


def _is_superseded(path: UPath) -> bool:
    """Whether there is a later lease."""
    return max(_numbers(names_in(path.parent)), default=0) > _number(path.name)


def _sweep(path: UPath) -> None:
    """Remove earlier leases, and what processes left that were killed while they tried to take the lock."""
    mine = file_state(path)
    for name in names_in(path.parent) or []:
        other = path.parent / name
        if _LEASE.fullmatch(name) and _number(name) < _number(path.name):
            remove_file(other)
        elif name.endswith(_PROBE) and mine is not None:
            state = file_state(other)
            if state is not None and mine.modified - state.modified > LEASE_S:
                remove_file(other)


def _renew_until(path: UPath, mine: Mapping[str, Any], renewal_s: float, ended: threading.Event) -> None:
    """Renew the lease until ``ended``, and interrupt the main thread where it is lost.

    A renewal that fails is made up for by the next one.
    """
    while not ended.wait(renewal_s):
        with suppress(Exception):
            if not renew(path, mine):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return


def _write(path: UPath, content: Mapping[str, Any]) -> None:
    ObjectBackend(path).write(lambda file: file.write(json.dumps(content).encode()))


def _file_name(number: int) -> str:
    return f"{number:06d}.json"


def _number(name: str) -> int:
    return int(name.removesuffix(".json"))


def _numbers(names: Sequence[str] | None) -> list[int]:
    return [_number(name) for name in names or () if _LEASE.fullmatch(name)]


def _machine() -> str | None:
    """Return the boot id and process-id namespace, within which process ids are unique; None where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None
