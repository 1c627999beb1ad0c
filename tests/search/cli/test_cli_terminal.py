"""The command as a process: help without heavy imports, pipes, colours, a terminal, a missing cluster."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

COMMAND = [sys.executable, "-c", "from foldtune.search.cli import main; main()"]
HEAVY = {"torch", "ray", "timm", "pandas", "optuna", "sklearn", "scipy", "albumentations"}
PATIENCE_S = 60.0


class Terminal:
    """A command whose stdout and stderr are a terminal."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self._master, slave = pty.openpty()
        inherited = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**inherited, "TERM": "xterm-256color", **environment},
        )
        os.close(slave)
        self._text = ""

    def read_until(self, text: str) -> str:
        """Everything shown until `text` appears."""
        while text not in self._text and self._read():
            pass
        assert text in self._text, self._text
        return self._text

    def _read(self) -> bool:
        """Take in what comes next; False at the end, or where nothing comes any more."""
        if not select.select([self._master], [], [], PATIENCE_S)[0]:
            return False
        try:
            self._text += os.read(self._master, 65536).decode(errors="replace")
        except OSError:  # Linux's error for a closed other side
            return False
        return True

    def end(self) -> int:
        """Wait for the process; gives its exit code."""
        while self._read():
            pass
        return self.process.wait(timeout=PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._master)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    """terminal(argument, …, VARIABLE=value) starts the command in a terminal of its own."""
    started: list[Terminal] = []

    def start_one(*arguments: str, **environment: str) -> Terminal:
        started.append(Terminal(*arguments, **environment))
        return started[-1]

    yield start_one
    for one in started:
        one.close()


HELP_OF_EACH = f"""
import contextlib, io, json, sys
import typer
from foldtune.search.cli.app import app
from foldtune.search.cli.main import run

def paths(command, path=()):
    yield path
    for name, below in getattr(command, "commands", {{}}).items():
        yield from paths(below, (*path, name))

def shown(path):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = run([*path, "--help"])
    return code, said.getvalue(), sorted({HEAVY!r} & set(sys.modules))

print(json.dumps({{" ".join(path): shown(path) for path in paths(typer.main.get_command(app))}}))
"""


def test_help_teaches_and_imports_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_EACH],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "80"},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    commands = json.loads(done.stdout)
    assert {"", "search", "ensemble", "predict", "data digits", "cluster check"} <= set(commands)
    headings = re.findall(r"^(\w.*):$", commands[""][1], re.MULTILINE)
    assert headings == ["Options", "Prepare", "Search", "Look at results", "Vote", "Use", "Cluster"]
    for command, (code, shown, heavy) in commands.items():
        assert (code, heavy) == (0, []), command
        assert "Usage: foldtune" in shown, command
        assert max(map(len, shown.splitlines())) <= 80, command
        assert not re.findall(r"<[a-z].*>", shown), f"{command}: a type of Python in the place of a word"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["table", "csv", "json"])
def test_nothing_is_written_to_a_closed_pipe(project: Any, form: str) -> None:
    project.stored_run()
    reader, writer = os.pipe()
    os.close(reader)  # as `| true` does
    with os.fdopen(writer, "w") as output:
        done = subprocess.run(
            [*COMMAND, "results", "tiny", "--format", form],
            stdout=output,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("extra", "coloured"), [({}, True), pytest.param({"NO_COLOR": "1"}, False, marks=pytest.mark.slow)]
)
def test_colours_in_a_terminal_unless_refused(
    project: Any, terminal: Callable[..., Terminal], extra: dict[str, str], coloured: bool
) -> None:
    project.stored_run()
    shown = terminal("results", "tiny", **extra).read_until("out of memory")
    assert ("\x1b[32m" in shown or "\x1b[1;32m" in shown) is coloured


@pytest.mark.slow
def test_watch_shows_what_comes_and_ends_with_the_search(project: Any, terminal: Callable[..., Terminal]) -> None:
    store = project.stored_run()
    with store.lock():
        watching = terminal("results", "tiny", "--watch")
        watching.read_until("0002")
        project.stored_trial(store, 3, 0.9)
        watching.read_until("0.9000")
        assert watching.process.poll() is None
    assert watching.end() == 0


def test_no_cluster_at_an_address(project: Any, foldtune: Callable[..., tuple[int, str, str]]) -> None:
    """Checked before Ray, which would try for many minutes."""
    project.stored_run()
    code, _, said = foldtune("search", project.config(), "--resume", "--trials", "5", "--address", "127.0.0.1:1")
    assert code == 2, said
    assert "no Ray cluster answers at '127.0.0.1:1' (Connection refused)" in said
    assert (project.folder / "runs/tiny/trials/0001/trial.json").is_file()


AS_NOBODY = """
import contextlib, io, json, os, sys
from foldtune.search.cli.main import run
import foldtune.search.cli.handlers.look.results, foldtune.search.cli.handlers.search.local

def ending(command):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        return run(command), said.getvalue()

assert run(["validate", "tiny.yaml"]) == 0  # imported while everything may be read
if os.getuid() == 0:  # whom the file system refuses nothing
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
endings = [ending(command) for command in json.loads(sys.argv[1])]
print(json.dumps(endings))
"""
DENIED = [
    (["search", "new.yaml", "--storage", "closed"], 1, "cannot create closed/new: Permission denied. Check"),
    (
        ["search", "new.yaml", "--storage", "open", "--set", "data.cache=closed/cache"],
        2,
        "the image cache in closed/cache cannot be written",
    ),
    (["search", "tiny.yaml", "--resume", "--trials", "5"], 1, "runs/tiny/.lock: Permission denied"),
    (["leaderboard", "tiny", "--output", "closed/board.csv"], 1, "cannot write closed/board.csv: Permission denied"),
]


@pytest.mark.slow
def test_no_permission_to_write(project: Any) -> None:
    for folder in (project.folder, *project.folder.parents):  # pytest closes its own to others
        if folder.name.startswith(("pytest-", "popen-", project.folder.name)):
            folder.chmod(0o755)
    store = project.stored_run()
    Path(project.config({"name": "new"})).rename("new.yaml")
    Path(project.config()).rename("tiny.yaml")
    Path("closed").mkdir(mode=0o555)
    Path("open").mkdir()
    Path("open").chmod(0o777)
    before = {path: path.read_bytes() for path in store.root.rglob("*") if path.is_file()}
    commands = json.dumps([command for command, _, _ in DENIED])
    done = subprocess.run([sys.executable, "-c", AS_NOBODY, commands], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    endings = json.loads(done.stdout.splitlines()[-1])
    for (code, said), (command, expected_code, part) in zip(endings, DENIED, strict=True):
        assert code == expected_code, (command, said)
        assert part in said, (command, said)
        assert "Traceback" not in said
    assert list(Path("closed").iterdir()) == []
    assert {path: path.read_bytes() for path in before} == before
