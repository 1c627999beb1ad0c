"""A whole session on an object store and PostgreSQL, both real: search, table, refit, ensemble, predictions."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import yaml
from optuna.trial import TrialState

from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import is_file, names_in, read_bytes
from foldtune.search.cli.main import run as run_here
from foldtune.search.tuning.study import StoredTrial, open_study, record_end, report

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

EPOCHS = 2
AWAY_S = 20.0
SPACE = {"lr": {"loguniform": [0.003, 0.03]}, "drop_rate": {"uniform": [0.0, 0.2]}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def programs() -> Path:
    """Folder of PostgreSQL's server, which Debian keeps out of PATH."""
    known = shutil.which("initdb")
    found = [Path(known).resolve()] if known else sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("no PostgreSQL server here: apt-get install postgresql")
    return found[-1].parent


@pytest.fixture(scope="module")
def password() -> str:
    return secrets.token_hex(8)


class Postgres:
    """A server with its data in a folder."""

    def __init__(self, folder: str, password: str) -> None:
        self._folder, self._port = folder, free_port()
        self._user = {"user": "postgres"} if os.geteuid() == 0 else {}  # it refuses to run as root
        Path(folder, "password").write_text(password)
        if self._user:
            shutil.chown(folder, "postgres")
            shutil.chown(f"{folder}/password", "postgres")
        login = ["-U", "foldtune", "-A", "scram-sha-256", f"--pwfile={folder}/password"]
        self._run("initdb", "-D", f"{folder}/data", "--no-sync", *login)
        self.start()

    @property
    def url(self) -> str:
        """The variable STUDY_PASSWORD stands for the password."""
        return f"postgresql://foldtune:${{STUDY_PASSWORD}}@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self._port} -k {self._folder} -c fsync=off"
        self._control("-l", f"{self._folder}/log", "-o", options, "start")

    def stop(self) -> None:
        self._control("-m", "immediate", "stop")

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", f"{self._folder}/data", "-w", "-s", *arguments)

    def _run(self, program: str, *arguments: str) -> None:
        command = [programs() / program, *arguments]
        subprocess.run(command, check=True, cwd=self._folder, stdout=subprocess.DEVNULL, **self._user)


@pytest.fixture(scope="module")
def postgres(password: str) -> Iterator[Postgres]:
    with tempfile.TemporaryDirectory(prefix="foldtune-postgres-") as folder:
        server = Postgres(folder, password)
        yield server
        server.stop()


@pytest.fixture(scope="module")
def storage(s3: Any) -> str:
    return f"s3://foldtune/{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
def searched(
    foldtune: Any, write_search: Callable[..., str], storage: str, postgres: Postgres, password: str
) -> Iterator[RunStore]:
    """A finished search of two trials."""
    search = {"metric": "macro_f1", "num_samples": 2, "max_epochs": EPOCHS, "study_storage": postgres.url}
    file = write_search("away", SPACE, search=search, resources={"max_concurrent_trials": 2}, storage=storage)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("STUDY_PASSWORD", password)
        ended = foldtune.run("search", file)
        assert ended.stdout.splitlines()[-1].startswith("best trial: ")
        assert f"({storage}/away)" in ended.stdout.splitlines()[-1]
        yield RunStore.open("away", storage)


def test_the_run_in_the_store_is_complete_and_without_secrets(
    searched: RunStore, foldtune: Any, storage: str, postgres: Postgres, password: str
) -> None:
    assert [(record.status, record.epochs) for record in searched.trials()] == [("COMPLETE", EPOCHS)] * 2
    assert not searched.is_locked()
    assert not (foldtune.folder / "runs").exists()
    assert not list(foldtune.folder.glob("s3:*")), "no folder that is named like the URL"
    for trial in searched.trials():
        files = names_in(searched.trials_root / trial.trial_id)
        assert files == ["config.json", "metrics.jsonl", "scores.npz", "trial.json", "weights.safetensors"]
    study = optuna.load_study(study_name="away", storage=postgres.url.replace("${STUDY_PASSWORD}", password))
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2
    assert all(set(trial.intermediate_values) == {1, 2} for trial in study.trials)
    stored = read_bytes(searched.config_path) or b""
    assert yaml.safe_load(stored)["search"]["study_storage"] == postgres.url
    assert password.encode() not in stored


def test_a_store_that_is_away_for_twenty_seconds_costs_a_search_nothing_but_time(
    s3: Any,
    foldtune: Any,
    write_search: Callable[..., str],
    wait_for: Callable[..., Any],
    storage: str,
    postgres: Postgres,
    password: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    epochs = 20
    storage = f"{storage}-patient"  # a folder of its own: the other holds the one run that `foldtune runs` lists
    search = {"num_samples": 2, "max_epochs": epochs, "trial_scheduler": "none", "study_storage": postgres.url}
    file = write_search("patient", SPACE, search=search, resources={"max_concurrent_trials": 2}, storage=storage)
    monkeypatch.setenv("STUDY_PASSWORD", password)
    started = foldtune.start("search", file)
    store = RunStore(f"{storage}/patient")
    wait_for(lambda: started.ended() or is_file(store.trials_root / "0000" / "metrics.jsonl"), "an epoch")
    before = len(store.trial("0000").epochs())
    s3.stop()
    back = threading.Timer(AWAY_S, s3.start)
    back.start()
    try:
        ended = started.end()
    finally:
        back.join()
    assert ended.code == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    assert before < epochs, "the store went while the trial was trained"
    assert [(record.status, record.epochs) for record in store.trials()] == [("COMPLETE", epochs)] * 2
    for trial_id in ("0000", "0001"):
        lines = (read_bytes(store.trials_root / trial_id / "metrics.jsonl") or b"").splitlines()
        assert [json.loads(line)["epoch"] for line in lines] == list(range(1, epochs + 1)), "each once, and whole"
        assert not store.trial(trial_id).deaths()
    board = (read_bytes(store.leaderboard_path) or b"").decode()
    assert board.count("COMPLETE") == 2


def test_a_database_that_comes_back_is_waited_for(
    postgres: Postgres, password: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = postgres.url.replace("${STUDY_PASSWORD}", password)
    study = open_study("outage", Path("unused"), url=url, mode="max", resume=False)
    number = study.ask().number
    report(study, number, 1, 0.5)
    postgres.stop()
    back = threading.Timer(1.0, postgres.start)
    back.start()
    try:
        report(study, number, 2, 0.6)
    finally:
        back.join()
    record_end(study, StoredTrial(number, "COMPLETE", {}, {1: 0.5, 2: 0.6}, 0.6))
    (trial,) = open_study("outage", Path("unused"), url=url, mode="max", resume=True).trials
    assert (trial.state, trial.intermediate_values) == (TrialState.COMPLETE, {1: 0.5, 2: 0.6})
    assert "connect to postgresql://127.0.0.1/" in caplog.text
    assert password not in caplog.text


def test_every_command_reads_the_run_by_its_url(
    searched: RunStore,
    foldtune: Any,
    storage: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(foldtune.folder)

    def told(*arguments: str) -> str:
        assert run_here(list(arguments)) == 0, capsys.readouterr().err
        return capsys.readouterr().out

    (listed,) = json.loads(told("runs", "--storage", storage, "--format", "json"))
    assert (listed["name"], listed["state"]) == ("away", "searched")
    rows = json.loads(told("results", "away", "--storage", storage, "--format", "json"))
    assert sorted(row["trial_id"] for row in rows) == ["0000", "0001"]
    told("leaderboard", f"{storage}/away", "--output", "board.csv")
    assert Path("board.csv").read_bytes() == read_bytes(searched.leaderboard_path)
    refitted = json.loads(told("thresholds", f"{storage}/away", "--format", "json"))
    assert len(refitted) == 2

    made = foldtune.run("ensemble", f"{storage}/away", "--top", "1", "--folds", "2", "--format", "json")
    description = json.loads(made.stdout)
    assert searched.ensemble.exists()
    pictures = sorted((foldtune.folder / "digits/images").glob("*.png"))[:3]
    Path("new").mkdir()
    for picture in pictures:
        shutil.copy(picture, "new")
    told("predict", f"{storage}/away/ensemble", "new", "--output", "predictions.csv")
    predictions = pd.read_csv("predictions.csv")
    assert predictions["image"].tolist() == [picture.name for picture in pictures]
    assert predictions["label"].notna().all()
    assert description["members"][0]["trial_id"] in {"0000", "0001"}
