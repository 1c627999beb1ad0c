"""Entry point: runs a command, and turns each way in which it ends into a message and an exit code."""

from __future__ import annotations

import errno
import sys
import tempfile
import traceback
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from typing import Any

import typer
from rich.text import Text

from foldtune.errors import FoldtuneError
from foldtune.redaction import redacted
from foldtune.search.cli.app import app
from foldtune.search.cli.streams import discard_broken, flush_or_discard, is_discarded, prepare_streams
from foldtune.search.cli.terminal import errors, shown
from foldtune.signals import interrupted_by_signals

# Click's base class, wherever the installed Typer keeps Click: it has no public name of its own.
USAGE_ERROR = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")
DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and exit: 0 done, 1 the work failed, 2 the input is wrong, 130 interrupted."""
    code = run(arguments)
    flush_or_discard()
    sys.exit(code)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code.

    Args:
        arguments: the command line without `foldtune`; None for that of the process.
    """
    prepare_streams()
    unread = is_discarded(sys.stdout)
    try:
        with interrupted_by_signals():
            code = _command()(args=arguments, prog_name="foldtune", standalone_mode=False)
            sys.stdout.flush()  # a closed pipe shows here, not while Python exits
        return code if isinstance(code, int) else DONE
    except (KeyboardInterrupt, typer.Abort):
        errors().print("interrupted")
        return INTERRUPTED
    except (BrokenPipeError, SystemExit) as end:
        # Typer and rich turn the first into the second.
        if isinstance(end, SystemExit) and not isinstance(end.__context__, BrokenPipeError):
            raise
        # Its reader, for example `| head`, has closed the pipe, and rich may have discarded the rest; otherwise it is a
        # connection that broke.
        closed = discard_broken() or (is_discarded(sys.stdout) and not unread)
        return DONE if closed else _report(BrokenPipeError(errno.EPIPE, "a connection was closed"))
    except Exception as error:
        return _report(error)


@cache
def _command() -> Any:
    """Return the tree of all commands; typer builds it anew each time, which takes longer than most commands' work."""
    return typer.main.get_command(app)


def exit_code(error: Exception) -> int | None:
    """Return the exit code of an error that is meant for the user; None for one that is not."""
    if isinstance(error, FoldtuneError):
        return error.exit_code
    return FAILED if isinstance(error, OSError | MemoryError) else None


def _report(error: Exception) -> int:
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


def _show_usage(error: Any) -> None:
    """Print the command's usage and what is wrong, without pydantic's phrases."""
    message = getattr(error, "message", None)
    if isinstance(message, str):
        plain = message.replace("Value error, ", "").replace("Input should be", "must be").rstrip(".")
        error.message = redacted(plain)
    text = shown(error.format_message())
    error.format_message = lambda: text
    with suppress(OSError):  # nobody reads it
        error.show(sys.stderr)
