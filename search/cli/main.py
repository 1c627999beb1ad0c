"""Entry point: runs a command, and turns each way in which it ends into a message and an exit code."""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import typer

from foldtune.search.cli.app import app
from foldtune.search.cli.streams import discard_broken, expendable, flush_or_discard, is_discarded, prepare_streams
from foldtune.signals import interrupted_by_signals

DONE, INTERRUPTED = 0, 130


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
        expendable(sys.stderr).write("interrupted\n")
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


def _report(error: Exception) -> int:
    """Print an error; return the exit code."""
    from foldtune.search.cli.failures import report  # heavy: rich, which a help does not need

    return report(error)
