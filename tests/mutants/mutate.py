"""Mutation of the core: `python tests/mutants/mutate.py [PART OF A NAME …]` puts faults in, one by one.

Each mutant is a copy of the sources in which one text is replaced; the tests named beside it run in a process that has
the heavy libraries loaded and foldtune not. Ends with 1 where a mutant survives that is not said to.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("mutants.yaml")
SOURCES = ("foldtune", "search", "trainers", "spaces", "results", "cluster", "benchmarks", "examples", "tests")
HEAVY = ("pandas", "sklearn.model_selection", "scipy.stats", "torch", "timm", "albumentations", "optuna", "hypothesis")
IN_PROCESS = "not integration and not faults and not bench and not fuzz"
OUTCOMES = {0: "survived", 1: "killed"}
"""Outcome by pytest's exit code; any other means that the tests did not run."""


@dataclass(frozen=True)
class Mutant:
    """A fault of one place.

    Attributes:
        name: what is wrong with it.
        file: source, relative to the repository.
        old: text that occurs once in `file`.
        new: text in its place.
        tests: test files that run, relative to the repository.
        survives: why no test fails, empty where one is to.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    survives: str = ""

    def source(self, root: Path = ROOT) -> str:
        """Return the source with the fault. Raises ValueError where `old` does not occur once."""
        text = (root / self.file).read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.old!r} occurs {text.count(self.old)} times in {self.file}, not once")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Outcome:
    """How the tests ended: "killed", "survived" or "broken", the seconds that they took and what they printed."""

    mutant: Mutant
    ended: str
    time_s: float
    printed: str

    @property
    def by(self) -> str:
        """The test that failed, else why none did."""
        failed = re.search(r"^(?:FAILED|ERROR) \S*?(\w+\.py::\S+)", self.printed, re.MULTILINE)
        return failed[1] if failed else self.mutant.survives


def read_mutants(table: Path = TABLE) -> list[Mutant]:
    """Return the mutants of a table."""
    return [Mutant(**{**row, "tests": tuple(row["tests"])}) for row in yaml.safe_load(table.read_text())]


def run_mutant(mutant: Mutant) -> Outcome:
    """Run the mutant's tests in this process, which is to end afterwards, on a copy of the sources."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="foldtune-mutant-") as folder:
        root = Path(folder)
        for name in SOURCES:
            shutil.copytree(ROOT / name, root / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        (root / mutant.file).write_text(mutant.source())
        code, printed = _run_tests(root, mutant.tests)
    return Outcome(mutant, OUTCOMES.get(code, "broken"), time.monotonic() - started, printed)


def _run_tests(root: Path, tests: Sequence[str]) -> tuple[int, str]:
    import pytest

    os.chdir(root)
    sys.path.insert(0, str(root))
    printed = io.StringIO()
    options = ["-x", "-qq", "--disable-warnings", "-p", "no:cacheprovider", "-m", IN_PROCESS, f"--basetemp={root}/tmp"]
    with redirect_stdout(printed), redirect_stderr(printed):
        code = pytest.main([*options, *tests])
    return int(code), printed.getvalue()


def run_all(mutants: Sequence[Mutant]) -> Iterator[Outcome]:
    """Run mutants side by side, one a core of this process, each in its own; yield them as they end.

    Not in a pool: its processes must not start others, as the tests of some faults do.
    """
    for name in HEAVY:
        import_module(name)
    fork = multiprocessing.get_context("fork")
    waiting, running = list(reversed(mutants)), dict[Any, Mutant]()
    while waiting or running:
        while waiting and len(running) < len(os.sched_getaffinity(0)):
            mutant = waiting.pop()
            ours, theirs = fork.Pipe(duplex=False)
            fork.Process(target=_send_outcome, args=(mutant, theirs)).start()
            theirs.close()
            running[ours] = mutant
        for ended in wait(list(running)):
            mutant = running.pop(ended)
            try:
                yield ended.recv()
            except EOFError:
                yield Outcome(mutant, "broken", 0.0, "the process of the tests was ended")


def _send_outcome(mutant: Mutant, target: Any) -> None:
    target.send(run_mutant(mutant))
    target.close()


def main(parts: Sequence[str]) -> int:
    """Print a table of the mutants whose names contain one of `parts`, all by default; return the exit code."""
    os.environ |= {"OMP_NUM_THREADS": "1", "NO_ALBUMENTATIONS_UPDATE": "1", "HF_HUB_OFFLINE": "1"}
    console = Console()
    mutants = [mutant for mutant in read_mutants() if not parts or any(part in mutant.name for part in parts)]
    for mutant in mutants:
        mutant.source()
    done = sorted(
        track(run_all(mutants), "mutants", total=len(mutants), console=console),
        key=lambda each: mutants.index(each.mutant),
    )
    table = Table("fault", "outcome", "by, or why not", "s")
    for each in done:
        table.add_row(escape(each.mutant.name), each.ended, escape(each.by), f"{each.time_s:.0f}")
    console.print(table)
    unexplained = [each for each in done if each.ended != "killed" and not each.mutant.survives]
    for each in unexplained:
        console.print(f"{each.mutant.name}: {each.ended}", each.printed[-2000:], markup=False)
    killed = sum(each.ended == "killed" for each in done)
    console.print(f"{killed} of {len(done)} killed, {len(unexplained)} of the others unexplained")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
