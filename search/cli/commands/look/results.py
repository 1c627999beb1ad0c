"""`foldtune runs`, `results` and `leaderboard`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldtune.search.cli.options import Format, RunName, Storage
from foldtune.search.cli.terminal import note, output, print_json

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Group

    from foldtune.results.runs.summaries import RunSummary
    from foldtune.search.runs.run import Run

REFRESH_S = 2.0


def add_to(app: typer.Typer) -> None:
    """Register the commands."""

    @app.command()
    def runs(
        storage: Storage = "runs",
        format: Annotated[Format, typer.Option(help="How it is printed.")] = Format.table,
    ) -> None:
        """List the runs of a storage: their state, trials and best value, and the Ray jobs that search them."""
        from foldtune.results.runs.summaries import list_runs
        from foldtune.results.tables.leaderboard_table import runs_table
        from foldtune.search.runs.goal import stored_goal

        found = _with_job_states(list_runs(storage, stored_goal))
        if format is Format.table:
            output().print(runs_table(found, width=output().width))
        else:
            _print_frame(_frame(found), format)

    @app.command()
    def results(
        run: RunName,
        top: Annotated[int | None, typer.Option(min=1, help="So many rows; 20 in a table, else all.")] = None,
        sort: Annotated[
            str | None, typer.Option(metavar="M", help="A column to sort by; the run's metric by default.")
        ] = None,
        watch: Annotated[bool, typer.Option("--watch", help="Keep the table current until the search ends.")] = False,
        format: Annotated[Format, typer.Option(help="How it is printed.")] = Format.table,
        storage: Storage = "runs",
    ) -> None:
        """Show a run's trials, the best first, also while it is searching.

        foldtune results skin --top 5
        foldtune results skin --sort fit_time_s
        foldtune results skin --watch
        foldtune results skin --format json | jq '.[0]'
        """
        from foldtune.search.runs.group import open_targets

        if watch and format is not Format.table:
            raise typer.BadParameter(f"it draws a table; leave it out, or --format {format}", param_hint="--watch")
        opened = open_targets(run, storage)
        if watch:
            _watch(run, storage, sort, top)
        elif format is Format.table:
            output().print(_tables(opened, sort, top))
        elif format is Format.json and None not in opened:
            print_json({target: _records(_joined({None: each}, sort, top)) for target, each in opened.items()})
        else:
            _print_frame(_joined(opened, sort, top), format)

    @app.command()
    def leaderboard(
        run: RunName,
        file: Annotated[
            Path, typer.Option("--output", "-o", metavar="F", help="The CSV to write.", show_default=False)
        ],
        sort: Annotated[str | None, typer.Option(metavar="M", help="A column to sort by.")] = None,
        storage: Storage = "runs",
    ) -> None:
        """Write every trial of a run to a CSV.

        Columns: rank, trial_id, status, the metric, its tuned value, epochs, fit_time_s, images_per_s, params_m, the
        other metrics, params_*, error.
        """
        from foldtune.results.storage.files import write_csv
        from foldtune.search.runs.group import open_targets

        frame = _joined(open_targets(run, storage), sort)
        write_csv(file, frame)
        note(f"{len(frame)} trials in {file}")


def _with_job_states(found: Sequence[RunSummary]) -> list[RunSummary]:
    """What each run's job server says of its job; "unreachable" where that server does not answer."""
    from dataclasses import replace

    servers = {run.job_address for run in found if run.job_address}
    states = {address: _job_states(address) for address in servers}
    return [
        replace(run, job_state=_state_of(run.job, states[run.job_address])) if run.job_address else run for run in found
    ]


def _state_of(job: str | None, states: Mapping[str, str] | None) -> str:
    return "UNREACHABLE" if states is None else states.get(str(job), "FORGOTTEN")


def _job_states(address: str) -> dict[str, str] | None:
    """States by job id, None where the server does not answer or is not to be trusted."""
    from foldtune.cluster.jobs import JobServer
    from foldtune.errors import ClusterError

    try:
        return {job.job_id: job.state for job in JobServer(address, allow_no_token=True).jobs()}
    except ClusterError:
        return None


def _joined(runs: Mapping[str | None, Run], sort: str | None, top: int | None = None) -> pd.DataFrame:
    """The leaderboards one below the other, with a column of the target where there are several."""
    import pandas as pd

    frames = []
    for target, run in runs.items():
        frame = _leaderboard(run, sort)
        frame = frame if top is None else frame.head(top)
        if target is not None:
            frame.insert(0, "target", target)
        frames.append(frame)
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _tables(runs: Mapping[str | None, Run], sort: str | None, top: int | None) -> Group:
    from rich.console import Group

    return Group(*(_table(run, sort, top) for run in runs.values()))


def _leaderboard(run: Run, sort: str | None) -> pd.DataFrame:
    from foldtune.results.runs.leaderboard import leaderboard

    return leaderboard(run.store.trials(), run.goal, sort, modes=run.task.metrics)


def _table(run: Run, sort: str | None, top: int | None) -> Group:
    from foldtune.results.tables.columns import titled
    from foldtune.results.tables.leaderboard_table import results_table

    frame, width = _leaderboard(run, sort), output().width
    table = results_table(frame, run.goal, top or 20, width=width, modes=run.task.metrics)
    return titled(f"run {run.store.name}", table)


def _watch(name: str, storage: str, sort: str | None, top: int | None) -> None:
    """Redraw until no process works on the run, or on any of a group's; without a terminal once."""
    import time

    from rich.live import Live

    from foldtune.search.runs.group import open_targets

    console = output()
    runs = open_targets(name, storage)
    with Live(_tables(runs, sort, top), console=console, auto_refresh=False) as live:
        while console.is_terminal and _is_busy(name, storage, runs):
            time.sleep(REFRESH_S)
            # A group's next target may have begun; stores keep what they read.
            runs = {**open_targets(name, storage), **runs}
            live.update(_tables(runs, sort, top), refresh=True)


def _is_busy(name: str, storage: str, runs: Mapping[str | None, Run]) -> bool:
    from foldtune.search.runs.group import find_group

    group = find_group(name, storage)
    return any(run.store.is_locked() for run in runs.values()) or (group is not None and group.is_locked())


def _frame(found: object) -> pd.DataFrame:
    from dataclasses import asdict

    import pandas as pd

    return pd.DataFrame([asdict(run) for run in found])  # type: ignore[attr-defined]


def _print_frame(frame: pd.DataFrame, format: Format) -> None:
    import sys

    if format is Format.csv:
        frame.to_csv(sys.stdout, index=False)
    else:
        print_json(_records(frame))


def _records(frame: pd.DataFrame) -> Any:
    import json

    return json.loads(frame.to_json(orient="records", date_format="iso"))
