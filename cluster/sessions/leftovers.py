"""Folders of Ray sessions on this machine that have ended; Ray itself never removes them."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

MIN_AGE_S = 3600.0
"""Age from which on a session without a process counts as abandoned: one that starts has none yet."""
_SESSION = re.compile(r"session_\d{4}-\d{2}-\d{2}_[\d-]+_\d+_\d+")


def session_root() -> Path:
    """Return the folder in which Ray keeps its sessions."""
    return Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray"


def abandoned_sessions(root: Path | None = None, min_age_s: float = MIN_AGE_S) -> Iterator[Path]:
    """Yield this user's sessions that no process belongs to, by the command lines of all processes."""
    folders = [path for path in (root or session_root()).glob("session_*") if _SESSION.fullmatch(path.name)]
    lines = list(_command_lines()) if folders else []
    for folder in sorted(folders):
        with suppress(OSError):
            state = folder.lstat()
            own = folder.is_dir() and not folder.is_symlink() and state.st_uid == os.getuid()
            if own and time.time() - state.st_mtime > min_age_s and not any(folder.name in line for line in lines):
                yield folder


def remove_sessions(folders: Iterator[Path]) -> int:
    """Remove folders of sessions; return their number."""
    count = 0
    for folder in list(folders):
        shutil.rmtree(folder, ignore_errors=True)
        count += not folder.exists()
    return count


def _command_lines() -> Iterator[str]:
    for process in psutil.process_iter(["cmdline"]):
        yield " ".join(process.info["cmdline"] or ())
