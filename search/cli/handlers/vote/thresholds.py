"""`foldtune thresholds`: post-processing refitted on stored scores, or (`--grid`) the metrics of given settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.results.records.ranking import Goal
from foldtune.results.tables.refit_table import refit_table, sweep_table
from foldtune.search.assess.held_out import best_trial
from foldtune.search.assess.refit import check_metric, refit, tuned_trials
from foldtune.search.assess.sweep import Source, SweepResult, ensemble_source, parse_grid, sweep, trial_source
from foldtune.search.assess.sweep_files import check_test_images, scores_to_submit, write_submissions
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.options import Format
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.terminal import heading, note, output, print_csv, print_json
from foldtune.search.runs.run import Run, open_run


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
            goal = Goal(of, run.task.metrics[of])
            output().print(refit_table(rows[target], goal, top, tuned_trials(run, of)))


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


@dataclass(frozen=True)
class SweepRequest:
    """The flags of `foldtune thresholds --grid`."""

    run: str
    storage: str
    grid: tuple[str, ...]
    metric: str | None
    trial: str | None
    ensemble: bool
    submissions: Path | None
    data: Path | None


def sweep_settings(request: SweepRequest, format: Format) -> None:
    """Evaluate each setting on a trial or the ensemble, and write the submissions that are wanted."""
    run = open_run(request.run, request.storage, request.data)
    if request.metric is not None:
        check_metric(run, request.metric)
    settings = parse_grid(request.grid, run.task)
    trial_id = None if request.ensemble else request.trial or best_trial(run).trial_id
    source = ensemble_source(run) if trial_id is None else trial_source(run, trial_id)
    test = None if request.submissions is None else scores_to_submit(run, source, trial_id)
    if test is not None and (text := check_test_images(run, trial_id)):
        note(text)
    with progress_bar("evaluating settings") as progress:
        swept = list(sweep(source, settings, progress))
    files: list[Path] = []
    if request.submissions is not None and test is not None:
        with progress_bar("writing submissions") as progress:
            files = write_submissions(run, source, swept, test, request.submissions, progress)
    _show(run, source, swept, request.metric or run.goal.metric, format)
    if files:
        note(f"{len(files)} submissions in {request.submissions}, listed in settings.csv")


def _show(run: Run, source: Source, swept: Sequence[SweepResult], metric: str, format: Format) -> None:
    if format is Format.json:
        settings = [{"postprocess": dict(each.setting.postprocess), "metrics": dict(each.metrics)} for each in swept]
        print_json({"of": source.name, "rows": len(source.targets), "settings": settings})
    elif format is Format.csv:
        print_csv(pd.DataFrame([{**each.setting.values, **each.metrics} for each in swept]))
    else:
        rows = [{"values": dict(each.setting.values), "metrics": dict(each.metrics)} for each in swept]
        metrics, tunable = run.task.metrics, run.task.tunable_metrics
        modes = {name: metrics[name] for name in (metric, *(n for n in metrics if n != metric and n in tunable))}
        title = f"{source.name} of run {run.store.name}, {len(source.targets):,} rows that it was not trained on"
        console = output()
        console.print(sweep_table(rows, modes, title=title, width=console.width))
