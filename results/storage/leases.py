"""The lock of a run in an object store, which cannot detect the death of a holder: a lease that the holder renews.

Leases are objects `.lock/000001.json`, `.lock/000002.json`, …; the highest number is the valid one. Taking the lock is
creating the next number, at which only one of several concurrent processes succeeds. A holder whose number is no longer
the highest has lost the lock, for example while its machine was suspended, and is interrupted as by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foldtune.errors import RunBusy
from foldtune.results.storage.files import file_state, names_in, read_json, remove_file, write_bytes_atomic
from foldtune.results.storage.objects import ObjectBackend
from foldtune.results.storage.retry import retry_io

if TYPE_CHECKING:
    from upath import UPath

LEASE_S = 60.0
"""Time since the last renewal after which a holder is considered dead."""
RENEWAL_S = 10.0
"""Interval between renewals."""


@contextmanager
def hold(folder: UPath, what: str, *, lease_s: float = LEASE_S, renewal_s: float = RENEWAL_S) -> Iterator[None]:
    """Hold the lock in ``folder`` while the block runs. Raises RunBusy, which names ``what``; StorageError."""
    last = _newest(folder)
    if last is not None and not last.is_released() and (age_s := _now(folder) - last.renewed) < lease_s:
        who = f"process {last.content.get('pid')} of {last.content.get('host')}"
        raise RunBusy(
            f"{who} is working on {what}: wait for it or stop it first; "
            f"if it was killed, its lease ends {lease_s:.0f} s after the last renewal, which was {age_s:.0f} s ago"
        )
    path = folder / _file_name(1 if last is None else last.number + 1)
    mine = {"owner": secrets.token_hex(8), "host": socket.gethostname(), "pid": os.getpid(), "machine": _machine()}
    if not retry_io(path, "lock", lambda: _acquire(path, mine)):
        raise RunBusy(f"another process is starting to work on {what}: wait for it or stop it first")
    for name in names_in(folder) or []:
        if name < path.name:
            remove_file(folder / name)
    ended = threading.Event()
    renewing = threading.Thread(target=_renew, args=(folder, path, mine, renewal_s, ended), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        with suppress(Exception):  # a lease that cannot be released expires, and the block's own error matters more
            released = json.dumps({**mine, "released": True}).encode()
            ObjectBackend(path).write(lambda file: file.write(released))


def is_held(folder: UPath) -> bool:
    """Whether some process holds the lock, by this machine's clock. Raises StorageError."""
    last = _newest(folder)
    return last is not None and not last.is_released() and time.time() - last.renewed < LEASE_S


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
        except PermissionError:  # another user's
            return False
        return False


def _newest(folder: UPath) -> _Lease | None:
    """Return the valid lease; None where there never was one."""
    names = [name for name in names_in(folder) or [] if name.endswith(".json")]
    if not names:
        return None
    path = folder / max(names)
    state, content = file_state(path), read_json(path)
    if state is None or content is None:  # the next holder removed it
        return _newest(folder)
    return _Lease(int(path.stem), content, state.modified)


def _now(folder: UPath) -> float:
    """Return seconds since 1970 by the storage's own clock, which dates the leases."""
    probe = folder / f"{secrets.token_hex(8)}.now"
    write_bytes_atomic(probe, b"")
    state = file_state(probe)
    remove_file(probe)
    return state.modified if state else time.time()


def _acquire(path: UPath, mine: Mapping[str, Any]) -> bool:
    """Create the lease and return whether it is held, also by an earlier try whose response was lost."""
    return ObjectBackend(path).write_new(json.dumps(mine).encode()) or read_json(path) == mine


def _renew(folder: UPath, path: UPath, mine: Mapping[str, Any], renewal_s: float, ended: threading.Event) -> None:
    """Renew the lease until ``ended``; a renewal that fails is made up for by the next one."""
    while not ended.wait(renewal_s):
        with suppress(Exception):
            if max(ObjectBackend(folder).names() or [path.name]) > path.name:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
                return
            content = json.dumps({**mine, "renewed": time.time()}).encode()
            ObjectBackend(path).write(lambda file, content=content: file.write(content))  # type: ignore[misc]


def _file_name(number: int) -> str:
    return f"{number:06d}.json"


def _machine() -> str | None:
    """Return the boot id and process-id namespace, within which process ids are unique; None where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return None
