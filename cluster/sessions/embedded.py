"""A Ray of this machine and this process alone: its folder is private, its ports are on loopback, its end is quick."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from foldtune.cluster.ray_internals import loopback_node
from foldtune.cluster.sessions.reaper import reaper
from foldtune.signals import own_signals

PREFIX = "foldtune-r-"
"""Beginning of the names of session folders: short, since the path of a socket in one has 107 bytes at most."""
LOCK = "lock"
SWEEP_AGE_S = 60.0
"""Age in seconds of a session folder without a live owner from which on it is removed."""
MAX_BASE_BYTES = 20
"""Bytes of the longest path under which Ray's sockets still have room."""


@contextmanager
def session_folder() -> Iterator[Path]:
    """Yield a new folder for Ray's session that only this user can enter, and remove it when the block ends.

    It lies in $RAY_TMPDIR, else where temporary files go, where that is short enough. What killed processes left
    there is removed first.
    """
    base = _base()
    base.mkdir(parents=True, exist_ok=True)
    _sweep(base)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))  # 0700
    lock = FileLock(folder / LOCK)
    lock.acquire(timeout=0)
    try:
        with reaper(folder):
            yield folder / "r"  # Ray opens its own folder to everybody, but nobody else gets to it
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def start(num_cpus: int | None, num_gpus: int | None, folder: Path) -> None:
    """Start Ray and connect to it; where the machine is too busy for the 30 s that Ray waits, once more.

    Raises:
        Exception: whatever Ray raises where its processes do not come up.
    """
    import ray

    for last in (False, True):
        try:
            with own_signals(), loopback_node():
                # "local": plain init would join, and refuse num_cpus, where some cluster runs already.
                ray.init(
                    address="local",
                    num_cpus=num_cpus,
                    num_gpus=num_gpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="ERROR",
                    _temp_dir=str(folder),
                )
            return
        except Exception as error:
            if last or "timed out during startup" not in str(error):
                raise
            ray.shutdown()


def _base() -> Path:
    if given := os.environ.get("RAY_TMPDIR"):
        return Path(given).absolute()
    usual = tempfile.gettempdir()
    return Path(usual if len(os.fsencode(usual)) <= MAX_BASE_BYTES else "/tmp")


def _sweep(base: Path) -> None:
    """Remove the session folders of this user's killed processes."""
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError, Timeout):
            state = folder.lstat()
            own = folder.is_dir() and not folder.is_symlink() and state.st_uid == os.getuid()
            if own and time.time() - state.st_mtime > SWEEP_AGE_S:
                with FileLock(folder / LOCK, timeout=0):
                    shutil.rmtree(folder, ignore_errors=True)
