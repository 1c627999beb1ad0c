"""Sessions of Ray whose processes were killed are found; those with a process, young or foreign ones are not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from foldtune.cluster.sessions.leftovers import abandoned_sessions, remove_sessions


def test_only_abandoned_sessions_are_removed(tmp_path: Path) -> None:
    dead, live, young = (tmp_path / f"session_2026-01-0{day}_10-00-00_123456_{day}" for day in (1, 2, 3))
    for folder in (dead, live, young, tmp_path / "session_notes"):
        folder.mkdir()
    (tmp_path / "session_latest").symlink_to(dead)
    for folder in (dead, live):
        os.utime(folder, (0, 0))
    waiting = [sys.executable, "-c", "input()", f"--session_dir={live}"]
    with subprocess.Popen(waiting, stdin=subprocess.PIPE) as process:
        assert list(abandoned_sessions(tmp_path)) == [dead]
        assert remove_sessions(abandoned_sessions(tmp_path)) == 1
        process.communicate(b"\n")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        live.name,
        young.name,
        "session_notes",
    ]
