"""Entry point: runs a command and turns every way it can end into words and an exit code."""

from __future__ import annotations

import os
import sys
import tempfile
import traceback
from collections.abc import Sequence

import typer

from cluster.errors import ClusterError
from results.errors import ResultsError, RunBusy, RunCorrupt, StorageError
from search.cli.app import app
from search.cli.terminal import errors
from search.errors import FoldtuneError
from spaces import SpaceError
from trainers.errors import DataError, SettingsError, TrainersError

# Click's base class, wherever the installed Typer keeps Click: it has no public name of its own.
USAGE_ERROR = next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")
DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0 done, 1 the work failed, 2 the input is wrong, 130 interrupted."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command; gives its exit code."""
    try:
        code = typer.main.get_command(app)(args=arguments, prog_name="foldtune", standalone_mode=False)
        return code if isinstance(code, int) else DONE
    except (KeyboardInterrupt, typer.Abort):
        errors().print("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output left, for example `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except Exception as error:
        return _explain(error)


def exit_code(error: Exception) -> int | None:
    """Code of an error that was meant for the user; None for one that was not."""
    if isinstance(error, FoldtuneError):
        return error.exit_code
    if isinstance(error, (RunBusy, RunCorrupt, StorageError)):
        return FAILED
    if isinstance(error, (ResultsError, DataError, SettingsError, SpaceError, ClusterError)):
        return WRONG_INPUT
    if isinstance(error, (TrainersError, OSError)):
        return FAILED
    return None


def _explain(error: Exception) -> int:
    if isinstance(error, USAGE_ERROR):
        error.show(sys.stderr)  # type: ignore[attr-defined]
        return WRONG_INPUT
    code = exit_code(error)
    if code is not None:
        prefix = "error: " if str(error) else f"error: {type(error).__name__}"
        errors().print(f"[bold red]{prefix}[/]", end="")
        errors().print(str(error), markup=False, highlight=False, soft_wrap=True)
        return code
    with tempfile.NamedTemporaryFile("w", prefix="foldtune-", suffix=".log", delete=False) as log:
        log.write(traceback.format_exc())
    errors().print(
        f"unexpected error: {type(error).__name__}: {error}; this is a bug in foldtune, its details are in {log.name}",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    return FAILED
