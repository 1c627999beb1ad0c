"""Consoles of a command: results go to stdout, progress and messages to stderr."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console

if TYPE_CHECKING:
    import pandas as pd


def output() -> Console:
    """Return the console of results, made on use, so that a redirected stdout is the one that is written to.

    Text is printed as it is: names of files, runs and labels may hold what rich would take for markup or emoji.
    """
    return Console(file=sys.stdout, highlight=False, markup=False, emoji=False)


def errors() -> Console:
    """Return the console of progress and messages; text is printed as it is."""
    return Console(file=sys.stderr, highlight=False, markup=False, emoji=False)


def note(text: str, console: Console | None = None) -> None:
    """Print one line about the work to stderr; on the console of a live table it stands above that table."""
    (console or errors()).print(text, style="dim", soft_wrap=True)


def heading(target: str) -> None:
    """Print the name of a target above its results."""
    output().print(f"target {target}", style="bold", soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as JSON, alone on stdout."""
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")


def print_csv(frame: pd.DataFrame) -> None:
    """Print a data frame as CSV without its index, alone on stdout."""
    frame.to_csv(sys.stdout, index=False)
