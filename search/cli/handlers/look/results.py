"""`foldtune results` and `leaderboard`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
import typer
from rich.console import Group
from rich.live import Live

from foldtune.errors import InputError, RunCorrupt
from foldtune.paths import check_not_read
from foldtune.redaction import without_colours
from foldtune.results.records.leaderboard import leaderboard
from foldtune.results.storage.files import json_text, write_csv
from foldtune.results.tables.columns import titled
from foldtune.results.tables.leaderboard_table import results_table
from foldtune.results.tables.trial_table import trial_view
from foldtune.search.cli.options import Format
from foldtune.search.cli.terminal import frame_rows, note, output, print_frame, print_json
from foldtune.search.runs.group import find_group, open_targets
from foldtune.search.runs.run import Run
from foldtune.wording import first_few

REFRESH_S = 2.0
DEFAULT_ROWS = 20
"""Rows of a table where no number is given."""

Runs = Mapping[str | None, Run]
"""Runs by target; the target of a run that belongs to no group is None."""


@dataclass(frozen=True)
class ResultsRequest:
    """The flags of `foldtune results` by which rows are chosen."""

    run: str
    storage: str
    sort: str | None = None
    top: int | None = None

    def open(self) -> Runs:
        """Return the runs by target."""
        return open_targets(self.run, self.storage)


def show_joint_results(names: Sequence[str], storage: str, request: ResultsRequest, format: Format) -> None:
    """Print the trials of several runs as one table, the best first; a trial's id begins with its run's name.

    Raises:
        InputError: their metrics differ.
    """
    runs = {run.store.name: run for name in names for run in open_targets(name, storage).values()}
    goals = {name: run.goal for name, run in runs.items()}
    if len(set(goals.values())) > 1:
        named = ", ".join(f"{name} by {goal.metric}" for name, goal in goals.items())
        raise InputError(f"one table has one metric, and these runs differ: {named}")
    run = next(iter(runs.values()))
    records = [
        replace(record, trial_id=f"{name}/{record.trial_id}")
        for name, each in runs.items()
        for record in each.store.trials()
    ]
    frame = leaderboard(records, run.goal, request.sort, modes=run.task.metrics)
    first = run.store.read_folds()
    if others := [name for name, each in runs.items() if not each.store.read_folds().equals(first)]:
        note(f"note: not of the same rows or folds as {run.store.name}, so values differ by that: {first_few(others)}")
    if format is not Format.table:
        print_frame(frame if request.top is None else frame.head(request.top), format)
        return
    rows, active = request.top or DEFAULT_ROWS, any(each.store.is_locked() for each in runs.values())
    output().print(
        results_table(
            frame, run.goal, rows, width=output().width, modes=run.task.metrics, active=active, sort_by=request.sort
        )
    )


def show_results(request: ResultsRequest, format: Format, *, watch: bool) -> None:
    """Print the trials, the best first; with `watch` as a table that is kept current."""
    if watch and format is not Format.table:
        raise typer.BadParameter(f"it draws a table; leave it out, or --format {format}", param_hint="--watch")
    runs = request.open()
    if watch:
        _watch(request, runs)
    elif format is Format.table:
        output().print(_tables(runs, request))
    elif format is Format.json and None not in runs:
        print_json({target: frame_rows(_joined({None: run}, request)) for target, run in runs.items()})
    else:
        print_frame(_joined(runs, request), format)


def show_trial(run: str, storage: str, trial_id: str, format: Format) -> None:
    """Print all that is stored of a trial but its scores; as CSV its epochs.

    Raises:
        InputError: a group of several targets, each of which has trials of its own.
        TrialNotFound: the run has no such trial.
        RunCorrupt: its files cannot be read.
    """
    runs = open_targets(run, storage)
    if len(runs) > 1:
        names = ", ".join(each.store.name for each in runs.values())
        raise InputError(f"--trial: {run!r} is a group of several targets: name one of its runs ({names})")
    (opened,) = runs.values()
    directory = opened.store.find_trial(trial_id)
    record, epochs, deaths = directory.record(), directory.epochs(), directory.deaths()
    if record is None:
        raise RunCorrupt(f"{directory.config_path} is gone")
    log = without_colours(directory.error_log())
    rows = [row.to_dict() for row in epochs]
    if format is Format.table:
        output().print(trial_view(record, epochs, deaths, log, width=output().width))
    elif format is Format.csv:
        print_frame(pd.json_normalize(rows), format)
    else:  # NaN is null
        print_json(json.loads(json_text({**asdict(record), "epochs": rows, "deaths": deaths, "log": log or None})))


def write_leaderboard(request: ResultsRequest, file: Path) -> None:
    """Write every trial to a CSV."""
    runs = request.open()
    for run in runs.values():
        check_not_read(file, run.config.data.tables)
    frame = _joined(runs, request)
    write_csv(file, frame)
    note(f"{len(frame)} trials in {file}")


def _joined(runs: Runs, request: ResultsRequest) -> pd.DataFrame:
    """Return the leaderboards one below the other, with a column of the target where there are several."""
    frames = []
    for target, run in runs.items():
        frame = _leaderboard(run, request.sort)
        frame = frame if request.top is None else frame.head(request.top)
        if target is not None:
            frame.insert(0, "target", target)
        frames.append(frame)
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def _leaderboard(run: Run, sort: str | None) -> pd.DataFrame:
    return leaderboard(run.store.trials(), run.goal, sort, modes=run.task.metrics)


def _tables(runs: Runs, request: ResultsRequest) -> Group:
    return Group(*(_table(run, request) for run in runs.values()))


def _table(run: Run, request: ResultsRequest) -> Group:
    frame, rows, modes = _leaderboard(run, request.sort), request.top or DEFAULT_ROWS, run.task.metrics
    active, width = run.store.is_locked(), output().width
    table = results_table(frame, run.goal, rows, width=width, modes=modes, active=active, sort_by=request.sort)
    return titled(f"run {run.store.name}", table)


def _watch(request: ResultsRequest, runs: Runs) -> None:
    """Redraw until no process works on the run, or on any of a group's; without a terminal draw once."""
    console = output()
    with Live(_tables(runs, request), console=console, auto_refresh=False) as live:
        while console.is_terminal and _is_busy(request, runs):
            time.sleep(REFRESH_S)
            # The next target of a group may have started. A store that is open already keeps what it has read.
            runs = {**request.open(), **runs}
            live.update(_tables(runs, request), refresh=True)


def _is_busy(request: ResultsRequest, runs: Runs) -> bool:
    group = find_group(request.run, request.storage)
    return any(run.store.is_locked() for run in runs.values()) or (group is not None and group.is_locked())
