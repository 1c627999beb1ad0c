"""`foldtune thresholds`: post-processing refitted on the stored scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd

from foldtune.results.tables.refit_table import refit_table
from foldtune.search.assess.refit import refit, tuned_trials
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.options import Format
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.terminal import heading, note, output, print_csv, print_json
from foldtune.search.runs.run import Run


def refit_trials(
    runs: Mapping[str | None, Run], format: Format, metric: str | None, trial: str | None, *, save: bool, top: int
) -> None:
    """Refit the post-processing of the trials of runs, by target, and print the figures.

    Args:
        metric: metric to fit, None for each run's.
        trial: id of the only trial, None for all.
        save: whether to store the cross-fitted figures.
        top: rows of the table, >= 1.
    """
    rows = {target: _refit(run, metric, trial, save=save) for target, run in runs.items()}
    if format is Format.json:
        print_json(rows.get(None, rows))
    elif format is Format.csv:
        print_csv(_frame(rows))
    else:
        for target, run in runs.items():
            heading(target)
            of = metric or run.goal.metric
            output().print(refit_table(rows[target], of, top, tuned_trials(run, of)))


def _refit(run: Run, metric: str | None, trial: str | None, *, save: bool) -> list[dict[str, Any]]:
    """Return one row a trial."""
    with progress_bar("fitting") as progress:
        fits = refit(run, metric, trial, processes=decoder_processes(), progress=progress)
    if save:
        metric = metric or run.goal.metric
        run.store.write_tuned(metric, {fit.trial_id: fit.tuned for fit in fits})
        note(f"kept in {run.store.tuned_path}: foldtune results {run.store.name} --sort {metric}_tuned")
    return [asdict(fit) for fit in fits]


def _frame(rows: Mapping[str | None, list[dict[str, Any]]]) -> pd.DataFrame:
    """Return the rows of all targets in one table, in which a run alone has no column of targets."""
    joined = pd.DataFrame([{"target": target, **row} for target, of_run in rows.items() for row in of_run])
    return joined.drop(columns=["postprocess", *(["target"] if None in rows else [])])
