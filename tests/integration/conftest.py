"""The `foldtune` command as a user starts it, on a small part of the real digits."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd
import psutil
import pytest
import yaml

from foldtune.cluster.sessions.session import session
from foldtune.search.cli.main import run
from foldtune.trainers.data.digits import write_digits

PATIENCE_S = 240.0
POLL_S = 0.02
ROWS = 120
FIXED = {"amp": "off", "channels_last": True}
"""Number type and memory layout of seeded expectations, which a timing would choose else."""
TRAINER = "foldtune.trainers.fitting.worker"
"""Module of a trial's further processes."""


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """The first true value of `condition`; fails after PATIENCE_S."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE_S:g} s"
        time.sleep(POLL_S)
    return value


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


def ray_processes(pid: int) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """All processes below `pid`, and those of them in which Ray trains."""
    children, training = [], []
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return [], []
    for child in below:
        try:
            title, parent = " ".join(child.cmdline()), child.parent()
            of_ray = parent is not None and parent.name() == "raylet"  # not what a worker forks
        except psutil.Error:
            continue
        children.append(child)
        if of_ray and title.startswith("ray::") and "Trainable" in title:
            training.append(child)
    return children, training


class Watch:
    """Processes in which Ray trains, and further ones of their trials, seen while a block runs in this process."""

    def __init__(self) -> None:
        self.workers: set[psutil.Process] = set()
        self.further: set[psutil.Process] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(POLL_S):
            _, training = ray_processes(os.getpid())
            self.workers.update(training)
            for worker in training:
                with suppress(psutil.NoSuchProcess):
                    members = [child for child in worker.children() if TRAINER in child.cmdline()]
                    self.further.update(members)


class Started:
    """A command in a process group of its own, as a shell gives it."""

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self._out, self._err = folder / "stdout.log", folder / "stderr.log"
        environment = {**os.environ, "FOLDTUNE_CACHE": str(folder / "cache"), "COLUMNS": "200"}
        with open(self._out, "w") as out, open(self._err, "w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-c", "from foldtune.search.cli.main import main; main()", *arguments],
                cwd=folder,
                env=environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        self.ray: set[psutil.Process] = set()
        self.worker_pids: set[int] = set()

    def stderr(self) -> str:
        """What it has printed there so far."""
        return self._err.read_text()

    def workers(self) -> list[psutil.Process]:
        """Processes that train now; all of Ray's processes and all workers ever seen are remembered."""
        children, found = ray_processes(self.process.pid)
        self.ray.update(children)
        self.worker_pids.update(child.pid for child in found)
        return found

    def interrupt(self) -> None:
        """Ctrl-C: the terminal sends SIGINT to every process of the group."""
        os.killpg(self.process.pid, signal.SIGINT)

    def ended(self) -> bool:
        self.workers()
        return self.process.poll() is not None

    def end(self) -> Ended:
        """Wait for the end of the command."""
        wait_until(self.ended, "the end of the command")
        return Ended(self.process.returncode, self._out.read_text(), self._err.read_text())

    def left_behind(self) -> list[psutil.Process]:
        """Ray processes of this command that still live; its agents outlast a killed raylet by a minute."""
        left = []
        for process in self.ray:
            try:
                if process.status() != psutil.STATUS_ZOMBIE and "Agent" not in " ".join(process.cmdline()):
                    left.append(process)
            except psutil.NoSuchProcess:
                continue
        return left


class Foldtune:
    """Starts commands in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._started: list[Started] = []

    def start(self, *arguments: str) -> Started:
        self._started.append(Started(list(arguments), self.folder))
        return self._started[-1]

    def run(self, *arguments: str, code: int = 0) -> Ended:
        ended = self.start(*arguments).end()
        assert ended.code == code, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stdout + ended.stderr
        return ended

    def close(self) -> None:
        """End what a failed test left running."""
        for started in self._started:
            started.workers()
            if started.process.poll() is None:
                started.process.kill()
                started.process.wait()
            for process in started.left_behind():
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue


@pytest.fixture(scope="session")
def ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray on two CPUs for all commands that run in this process, whose workers share its cache of images."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FOLDTUNE_CACHE", str(tmp_path_factory.mktemp("cache")))
        with session(num_cpus=2):
            yield


Here = Callable[..., Ended]


@pytest.fixture(scope="session")
def foldtune_in(ray: None) -> Here:
    """foldtune_in(folder, argument, …, code=0): the command run there, in this process and in the session `ray`."""

    def command(folder: Path, *arguments: str | Path, code: int = 0) -> Ended:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.chdir(folder)
            patch.setenv("COLUMNS", "200")
            ended = Ended(run([str(argument) for argument in arguments]), out.getvalue(), err.getvalue())
        assert ended.code == code, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stdout + ended.stderr
        return ended

    return command


@pytest.fixture(scope="module")
def foldtune(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Foldtune]:
    """Commands in a folder that holds `digits/`, the real digits thinned out to ROWS rows."""
    folder = tmp_path_factory.mktemp("user")
    write_digits(folder / "digits")
    table = pd.read_csv(folder / "digits/train.csv", dtype=str)
    common = table[table["label"].isin(table["label"].value_counts().index[:4])]
    common.groupby("label").head(ROWS // 4).to_csv(folder / "digits/train.csv", index=False)
    command = Foldtune(folder)
    yield command
    command.close()


@pytest.fixture(scope="module")
def write_search(foldtune: Foldtune) -> Callable[..., str]:
    """write_search(name, space, data=…, search=…, resources=…) -> the name of its YAML file."""

    def write(
        name: str,
        space: Mapping[str, Any],
        *,
        top: int = 1,
        data: Mapping[str, Any] | None = None,
        **sections: Mapping[str, Any],
    ) -> str:
        quick = {"model_name": "test_resnet", "augmentation": "none", "batch_size": 32, **FIXED}
        digits = {"root": "digits", "train": "train.csv", "images": "images", "target": "label", "image_size": 32}
        config = {
            "name": name,
            "task": "multiclass",
            "data": {**digits, **(data or {})},
            "space": {**quick, **space},
            "ensemble": {"top": top, "folds": 3},
            **sections,
        }
        (foldtune.folder / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        return f"{name}.yaml"

    return write


@pytest.fixture(scope="session")
def watch() -> type[Watch]:
    """`with watch() as seen:` collects the processes in which Ray trains meanwhile."""
    return Watch


@pytest.fixture(scope="session")
def wait_for() -> Callable[..., Any]:
    """wait_for(condition, what) -> its first true value, within a limit."""
    return wait_until
