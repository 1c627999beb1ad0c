"""What a command prints when it fails, and its exit code."""

from __future__ import annotations

import re
import sys
import tempfile
import traceback
from contextlib import suppress
from typing import Any

import typer
from rich.text import Text

from foldtune.errors import FoldtuneError
from foldtune.redaction import redacted
from foldtune.search.cli.terminal import errors, shown

# Click's base class, wherever the installed Typer keeps Click: it has no public name of its own.
USAGE_ERROR = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")
FAILED, WRONG_INPUT = 1, 2


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that is meant for the user; None for one that is not."""
    if isinstance(error, FoldtuneError):
        return error.exit_code
    return FAILED if isinstance(error, OSError | MemoryError) else None


def report(error: Exception) -> int:
    """Print an error, without a traceback; return the exit code."""
    if isinstance(error, USAGE_ERROR):
        _show_usage(error)
        return WRONG_INPUT
    code = exit_code(error)
    if code is not None:
        errors().print(Text("error:", style="bold red"), redacted(_message(error)), soft_wrap=True)
        return code
    errors().print(
        f"unexpected error: {type(error).__name__}: {redacted(str(error))}; this is a bug in foldtune, its details are "
        f"{_details()}",
        soft_wrap=True,
    )
    return FAILED


def _details() -> str:
    """Write the traceback of the error that is handled to a file; return where it is."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", errors="backslashreplace", prefix="foldtune-", suffix=".log", delete=False
        ) as log:
            log.write(redacted(traceback.format_exc()))
    except OSError:  # a full disk
        return f"these:\n{redacted(traceback.format_exc())}"
    return f"in {log.name}"


def _message(error: Exception) -> str:
    """Return an error's text; several problems stand one a line below their number."""
    problems = [str(problem) for problem in getattr(error, "problems", ())]
    if len(problems) > 1:
        return "\n  ".join([f"{len(problems)} problems", *problems])
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return f"not enough memory{f': {error}' if str(error) else ''}"
    return str(error) or type(error).__name__


def _with_article(found: re.Match[str]) -> str:
    return f"{'an' if found[1][0] in 'aeiou' else 'a'} {found[1]}"


def _show_usage(error: Any) -> None:
    """Print the command's usage and what is wrong, without pydantic's phrases."""
    message = getattr(error, "message", None)
    if isinstance(message, str):
        plain = message.replace("Value error, ", "").replace("Input should be", "must be").rstrip(".")
        error.message = redacted(re.sub(r"a valid (\w+), unable to parse string as an? \w+", _with_article, plain))
    text = shown(error.format_message())
    error.format_message = lambda: text
    with suppress(OSError):  # nobody reads it
        error.show(sys.stderr)
