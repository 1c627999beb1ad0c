"""Where a command writes: results to stdout, what it is doing to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def output() -> Console:
    """The console of results. Made on use, so that tests and pipes are seen as they are."""
    return Console(file=sys.stdout, highlight=False)


def errors() -> Console:
    """The console of progress and messages."""
    return Console(file=sys.stderr, highlight=False)


def note(text: str, console: Console | None = None) -> None:
    """One line about what is being done; on the console of a live table, where there is one, it stands above that."""
    (console or errors()).print(text, style="dim", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """JSON alone on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar for long work, hidden until it is first told (done, total), gone when it ends.

    Where stderr is no terminal nothing is drawn.
    """
    console = errors()
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(label, total=None, visible=False)

        def update(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total, visible=True)

        yield update
