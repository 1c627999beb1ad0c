"""`foldtune thresholds --grid`: every metric of given settings of the post-processing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from foldtune.results.tables.sweep_table import sweep_table
from foldtune.search.assess.held_out import best_trial
from foldtune.search.assess.refit import check_metric
from foldtune.search.assess.sweep import Source, SweepResult, ensemble_source, parse_grid, sweep, trial_source
from foldtune.search.assess.sweep_files import check_test_images, scores_to_submit, write_submissions
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.options import Format
from foldtune.search.cli.terminal import note, output, print_csv, print_json
from foldtune.search.runs.run import Run, open_run


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
