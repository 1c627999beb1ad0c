"""How a search ends at each signal, and what is left of Ray after a SIGKILL."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LEFT_S = 30.0
"""Seconds for which a process of Ray may outlive its killed driver."""
SPACE = {"lr": {"loguniform": [0.001, 0.02]}}


def family(driver: int) -> list[psutil.Process]:
    return psutil.Process(driver).children(recursive=True)


def started(foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any], name: str) -> Any:
    """A search in its first trial."""
    config = write_search(name, SPACE, search={"num_samples": 2, "max_epochs": 200, "trial_scheduler": "none"})
    search = foldtune.start("search", config)
    epochs = foldtune.folder / f"runs/{name}/trials/0000/metrics.jsonl"
    wait_for(lambda: search.workers() and epochs.is_file(), "an epoch")
    return search


def test_no_process_of_ray_outlives_a_killed_driver_for_long(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any]
) -> None:
    search = started(foldtune, write_search, wait_for, "killed")
    of_ray = family(search.process.pid)
    assert any("agent" in " ".join(each.cmdline()).lower() for each in of_ray)
    search.process.kill()
    search.process.wait()
    _, left = psutil.wait_procs(of_ray, timeout=LEFT_S)
    assert not left, [" ".join(each.cmdline())[:100] for each in left]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_search_stops_cleanly(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any], number: signal.Signals
) -> None:
    search = started(foldtune, write_search, wait_for, number.name.lower())
    os.killpg(search.process.pid, number) if number == signal.SIGHUP else search.process.send_signal(number)
    ended = search.end()
    assert ended.code == 130, ended.stderr
    assert "--resume" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_search_stops_while_ray_starts(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any], number: signal.Signals
) -> None:
    name = f"early_{number.name.lower()}"
    search = foldtune.start("search", write_search(name, SPACE, search={"num_samples": 2, "max_epochs": 200}))
    wait_for(lambda: "starting Ray" in search.stderr(), "the start of Ray")
    of_ray = family(search.process.pid)
    search.process.send_signal(number)
    ended = search.end()
    assert (ended.code, ended.stdout) == (130, ""), ended.stderr
    assert ended.stderr.rstrip().endswith("interrupted")
    assert not (foldtune.folder / "runs" / name).exists()
    _, left = psutil.wait_procs(of_ray, timeout=LEFT_S)
    assert not left, [" ".join(each.cmdline())[:100] for each in left]


def test_a_search_of_nohup_goes_on(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any]
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does, and children inherit
    try:
        search = started(foldtune, write_search, wait_for, "nohup")
    finally:
        signal.signal(signal.SIGHUP, before)
    os.killpg(search.process.pid, signal.SIGHUP)
    time.sleep(3)
    assert search.process.poll() is None
    assert search.workers()
    search.interrupt()
    assert search.end().code == 130


def test_an_embedded_ray_is_private_and_leaves_no_folder(
    foldtune: Any,
    write_search: Callable[..., str],
    wait_for: Callable[..., Any],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = Path(f"/tmp/ft{os.getpid()}")
    place.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(place))
    search = started(foldtune, write_search, wait_for, "private")
    (folder,) = place.iterdir()
    assert folder.stat().st_mode & 0o777 == 0o700
    listening = {
        connection.laddr.ip
        for process in [psutil.Process(search.process.pid), *family(search.process.pid)]
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening, "Ray has ports"
    assert listening <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}
    search.interrupt()
    search.end()
    assert list(place.iterdir()) == []
    place.rmdir()
