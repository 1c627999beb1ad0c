"""`runs`, `logs` and `stop` where no cluster answers, and `stop` of a search in another terminal."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from foldtune.cluster.access.trusted import remember_address
from foldtune.results.runs.driver_file import Driver, read_driver, write_driver
from foldtune.results.runs.store import RunStore

Command = Callable[..., tuple[int, str, str]]

HOLDER = """
import signal, sys
from pathlib import Path
from foldtune.cluster.access.trusted import remember_address
from foldtune.results.runs.driver_file import Driver, write_driver
from foldtune.results.runs.store import RunStore
signal.signal(signal.SIGINT, signal.default_int_handler)
store = RunStore(Path("runs/tiny"))
with store.lock():
    if sys.argv[1] == "search":
        write_driver(store, Driver.current())
    print("holds", flush=True)
    try:
        signal.pause()
    except KeyboardInterrupt:
        Path("ended").write_text("by SIGINT")
"""


@pytest.fixture
def holder(project: Any) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """holder("search") -> a process that holds the run as a search does."""
    started = []

    def start(kind: str) -> subprocess.Popen[str]:
        project.stored_run()
        process = subprocess.Popen([sys.executable, "-c", HOLDER, kind], stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        assert process.stdout.readline() == "holds\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def submitted(project: Any) -> RunStore:
    """A run of a job whose server is gone."""
    store: RunStore = project.stored_run()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        write_driver(store, Driver.current("foldtune-tiny-0a1b2c", address))
    remember_address(address)
    return store


def test_a_search_in_another_terminal_is_stopped_as_by_ctrl_c(holder: Any, foldtune: Command) -> None:
    process = holder("search")
    code, out, err = foldtune("stop", "tiny")
    assert (code, out) == (0, ""), err
    assert f"stopping process {process.pid}" in err
    assert "--resume goes on" in err
    assert Path("ended").read_text() == "by SIGINT"
    assert "no process works on run 'tiny'" in foldtune("stop", "tiny")[2]


@pytest.mark.slow
def test_another_command_that_holds_the_run_is_left_alone(holder: Any, foldtune: Command) -> None:
    """The stored process id of an earlier search may belong to a later, unrelated process."""
    process = holder("ensemble")
    store = RunStore(Path("runs/tiny"))
    write_driver(store, replace(Driver.current(), pid=process.pid, born_s=1.0))
    code, _, err = foldtune("stop", "tiny")
    assert code == 2
    assert "held by a command that is no search" in err
    assert process.poll() is None


def test_a_search_on_another_machine_is_named(holder: Any, foldtune: Command) -> None:
    holder("search")
    write_driver(RunStore(Path("runs/tiny")), Driver("gpu-7", 4711, 0.0))
    code, _, err = foldtune("stop", "tiny")
    assert code == 2
    assert "searched by process 4711 on gpu-7: stop it there" in err


def test_a_search_in_a_terminal_has_no_log(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    code, _, err = foldtune("logs", "tiny")
    assert code == 2
    assert "has no record of the process that searches it" in err
    write_driver(store, Driver.current())
    assert "was searched in a terminal on" in foldtune("logs", "tiny")[2]


def test_runs_name_their_jobs_though_the_server_is_gone(
    submitted: RunStore, foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run,) = json.loads(foldtune("runs", "--format", "json")[1])
    assert (run["job"], run["job_state"]) == ("foldtune-tiny-0a1b2c", "UNREACHABLE")
    assert run["job_address"].startswith("http://127.0.0.1:")
    monkeypatch.setenv("COLUMNS", "200")
    assert "foldtune-tiny-0a1b2c unreachable" in foldtune("runs")[1]


@pytest.mark.parametrize("command", [["runs"], ["logs", "tiny"], ["stop", "tiny"]], ids=lambda command: command[0])
def test_a_server_that_only_a_stored_run_names_gets_no_request(
    project: Any, foldtune: Command, command: list[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        stranger.settimeout(0.2)
        address = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        write_driver(project.stored_run(), Driver.current("foldtune-tiny-0a1b2c", address))
        code, _, err = foldtune(*command)
        assert code == (0 if command == ["runs"] else 2)
        assert address in err
        assert "never given" in err
        with pytest.raises(TimeoutError):
            stranger.accept()


@pytest.mark.parametrize("command", ["logs", "stop"])
def test_a_server_that_is_gone(submitted: RunStore, foldtune: Command, command: str) -> None:
    code, out, err = foldtune(command, "tiny")
    assert (code, out) == (2, "")
    assert "no Ray cluster answers" in err
    driver = read_driver(submitted)
    assert driver is not None
    assert f"{driver.job_address}" in err


def test_a_search_sent_to_no_server_fails_and_writes_nothing(project: Any, foldtune: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for address in (f"http://127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
            code, _, err = foldtune("search", project.config(), "--address", address)
            assert code == 2
            assert "no Ray cluster answers" in err
    assert not Path("runs").exists()


def test_a_configuration_is_checked_before_it_is_sent(project: Any, foldtune: Command) -> None:
    code, _, err = foldtune("search", project.config({"search.metric": "macro"}), "--address", "http://head:8265")
    assert code == 2
    assert "did you mean 'macro_f1'?" in err
    secret = {"search.study_storage": "postgresql://me:s3cret@db/optuna"}
    code, _, err = foldtune("search", project.config(secret), "--address", "http://head:8265")
    assert code == 2
    assert "write ${PGPASSWORD}" in err
    assert "s3cret" not in err
