"""`foldtune thresholds`: post-processing refitted on the stored scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.results.tables.refit_table import refit_table
from foldtune.search.assess.refit import refit, tuned_trials
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.options import Format
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.terminal import heading, note, output, print_csv, print_json
from foldtune.search.runs.group import find_group
from foldtune.search.runs.run import Run, open_run, with_data


@dataclass(frozen=True)
class RefitRequest:
    """What to refit.

    Attributes:
        run: name or folder of a run, or of a group of targets.
        storage: folder or URL of the runs.
        metric: metric to fit, None for the run's.
        trial: id of the only trial, None for all.
        save: whether to store the cross-fitted figures.
        top: rows of the table, >= 1.
        data: where the run's data.root lies now, None where it did not move.
    """

    run: str
    storage: str
    metric: str | None
    trial: str | None
    save: bool
    top: int
    data: Path | None = None


def refit_trials(request: RefitRequest, format: Format) -> None:
    """Refit the post-processing of a run's trials, of several targets each, and print the figures."""
    group = find_group(request.run, request.storage)
    if group is None or request.trial is not None:
        runs = {request.run: open_run(request.run, request.storage)}
    else:
        runs = dict(group.open().items())
    if request.data is not None:
        runs = {name: with_data(run, request.data) for name, run in runs.items()}
    rows = {name: _refit(run, request) for name, run in runs.items()}
    if format is Format.json:
        print_json(rows if group is not None else next(iter(rows.values())))
    elif format is Format.csv:
        print_csv(_frame(rows, with_target=group is not None))
    else:
        for name, run in runs.items():
            if group is not None:
                heading(name)
            metric = request.metric or run.goal.metric
            output().print(refit_table(rows[name], metric, request.top, tuned_trials(run, metric)))


def _refit(run: Run, request: RefitRequest) -> list[dict[str, Any]]:
    """Return one row a trial."""
    with progress_bar("fitting") as progress:
        fits = refit(run, request.metric, request.trial, processes=decoder_processes(), progress=progress)
    if request.save:
        metric = request.metric or run.goal.metric
        run.store.write_tuned(metric, {fit.trial_id: fit.tuned for fit in fits})
        note(f"kept in {run.store.tuned_path}: foldtune results {run.store.name} --sort {metric}_tuned")
    return [asdict(fit) for fit in fits]


def _frame(rows: Mapping[str, list[dict[str, Any]]], *, with_target: bool) -> pd.DataFrame:
    hidden = {"postprocess"} if with_target else {"postprocess", "target"}
    joined = [{"target": name, **row} for name, of_run in rows.items() for row in of_run]
    return pd.DataFrame([{key: value for key, value in row.items() if key not in hidden} for row in joined])
