"""What a search prints at its end."""

from __future__ import annotations

import typer

from foldtune.errors import WorkError
from foldtune.results.records.leaderboard import leaderboard
from foldtune.results.records.ranking import finalists
from foldtune.results.tables.formatting import counted
from foldtune.results.tables.leaderboard_table import results_table
from foldtune.search.cli.remote.command import INTERRUPTED
from foldtune.search.cli.terminal import note, output
from foldtune.search.runs.run import Run


def note_time_limit(run: Run, *, alone: bool) -> None:
    """Print how far a search came that its time limit ended; `alone`: where nothing follows it."""
    done = sum(record.status != "RUNNING" for record in run.store.trials())
    longer = "; --resume with a longer --time-limit goes on" if alone else ""
    note(f"the time limit ended the search after {done} of {counted(run.config.search.num_samples, 'trial')}{longer}")


def print_result(run: Run, resume_command: str | None, stop_reason: str | None) -> None:
    """Print the leaderboard and the best trial.

    Args:
        resume_command: the command that goes on with an interrupted search, None where it was not interrupted.
        stop_reason: why the search was given up, None where it was not.

    Raises:
        typer.Exit: the search was interrupted.
        WorkError: the search was given up, or no trial succeeded.
    """
    console = output()
    records = run.store.trials()
    frame = leaderboard(records, run.goal)
    console.print(results_table(frame, run.goal, width=console.width, modes=run.task.metrics, active=False))
    retried = sum(record.surroundings for record in records)
    if retried and resume_command is None:
        note(
            f"{counted(retried, 'trial')} failed for what surrounded them, not by themselves: --resume tries them again"
        )
    if resume_command is not None:
        note(f"stopped; what finished is kept in {run.store.root}; go on with: {resume_command}")
        raise typer.Exit(INTERRUPTED)
    if stop_reason:
        raise WorkError(f"the search was given up: {stop_reason}; see {run.store.leaderboard_path}")
    best = finalists(records, run.goal, 1)
    if not best:
        reasons = sorted({record.error or "" for record in records})
        raise WorkError(f"no trial succeeded: {'; '.join(reasons[:3])}; see {run.store.leaderboard_path}")
    value = best[0].value(run.goal.metric)
    console.print(f"best trial: {best[0].trial_id} {run.goal.metric}={value:.4f} ({run.store.root})", soft_wrap=True)
