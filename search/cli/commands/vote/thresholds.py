"""`foldtune thresholds`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldtune.search.cli.options import Format, RunName, Storage, decoders
from foldtune.search.cli.terminal import note, output, print_json, progress_bar

if TYPE_CHECKING:
    from foldtune.search.assess.sweep import Source, SweepResult
    from foldtune.search.runs.run import Run


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def thresholds(
        run: RunName,
        metric: Annotated[str | None, typer.Option(metavar="M", help="What to fit; the run's by default.")] = None,
        trial: Annotated[str | None, typer.Option(metavar="ID", help="One trial, with its fitted values.")] = None,
        save: Annotated[
            bool, typer.Option("--save", help="Keep the cross-fitted figures: results --sort M_tuned has them.")
        ] = False,
        grid: Annotated[
            list[str] | None,
            typer.Option(metavar="KEY=V,V…", help="Try these values instead; given often, all combinations."),
        ] = None,
        ensemble: Annotated[
            bool, typer.Option("--ensemble", help="Try them on the run's ensemble; its best trial by default.")
        ] = False,
        submissions: Annotated[
            Path | None, typer.Option(metavar="DIR", help="Write a submission for each setting of the grid.")
        ] = None,
        top: Annotated[int, typer.Option(min=1, help="So many rows of a table.")] = 20,
        format: Annotated[Format, typer.Option(help="How it is printed.")] = Format.table,
        storage: Storage = "runs",
    ) -> None:
        """Refit every trial's post-processing from its stored scores; nothing is retrained.

        Shows the metric before, cross-fitted (no row is judged by a fit that saw it: the figure to believe), and on
        the rows of the fit (which flatters). The fitted values are in the JSON, or shown for one trial. With --grid
        nothing is fitted: every metric of each setting that you name, where what is not named stays at its default.

        foldtune thresholds skin
        foldtune thresholds skin --metric macro_f1 --save && foldtune results skin --sort macro_f1_tuned
        foldtune thresholds toxins --trial 0007 --grid threshold=0.24,0.26,0.28
        foldtune thresholds skin --ensemble --grid prior_power=0,0.5,1 --grid offsets.mel=0,0.3 --submissions sweep
        """
        from foldtune.search.runs.group import find_group
        from foldtune.search.runs.run import open_run

        if not grid:
            _refuse({"--ensemble": ensemble, "--submissions": submissions}, "it is for settings of --grid")
            group = find_group(run, storage)
            runs = {run: open_run(run, storage)} if group is None or trial else dict(group.open().items())
            _refit(runs, metric, trial, save, top, format, grouped=group is not None)
            return
        _refuse({"--save": save}, "a setting of --grid is not fitted, so there is nothing to keep")
        if ensemble:
            _refuse({"--trial": trial}, "--ensemble tries the settings on the ensemble; give one of the two")
        _sweep(open_run(run, storage), grid, metric, None if ensemble else trial, ensemble, submissions, format)


def _refuse(given: Mapping[str, object], reason: str) -> None:
    for name, value in given.items():
        if value:
            raise typer.BadParameter(reason, param_hint=name)


def _refit(
    runs: Mapping[str, Run], metric: str | None, trial: str | None, save: bool, top: int, format: Format, grouped: bool
) -> None:
    """Refit one run, or the runs of a group by target."""
    from foldtune.results.tables.refit_table import refit_table
    from foldtune.search.assess.refit import refit, tuned_trials

    found: dict[str, list[dict[str, Any]]] = {}
    for name, run in runs.items():
        with progress_bar("fitting") as progress:
            fits = refit(run, metric, trial, processes=decoders(), progress=progress)
        found[name] = [asdict(each) for each in fits]
        if save:
            chosen = metric or run.goal.metric
            run.store.write_tuned(chosen, {each.trial_id: each.tuned for each in fits})
            note(f"kept in {run.store.tuned_path}: foldtune results {run.store.name} --sort {chosen}_tuned")
    if format is Format.json:
        print_json(found if grouped else next(iter(found.values())))
    elif format is Format.csv:
        hidden = {"postprocess"} if grouped else {"postprocess", "target"}
        rows = [{"target": name, **row} for name, each in found.items() for row in each]
        _print_csv([{key: value for key, value in row.items() if key not in hidden} for row in rows])
    else:
        for name, fitted in found.items():
            if grouped:
                output().print(f"target {name}", style="bold")
            chosen = metric or runs[name].goal.metric
            output().print(refit_table(fitted, chosen, top, tuned_trials(runs[name], chosen)))


def _sweep(
    run: Run,
    grid: Sequence[str],
    metric: str | None,
    trial: str | None,
    ensemble: bool,
    submissions: Path | None,
    format: Format,
) -> None:
    from foldtune.search.assess.held_out import best_trial
    from foldtune.search.assess.refit import check_metric
    from foldtune.search.assess.sweep import ensemble_source, parse_grid, sweep, trial_source

    chosen = metric or run.goal.metric
    if metric is not None:
        check_metric(run, metric)
    settings = parse_grid(grid, run.task)
    trial_id = None if ensemble else trial or best_trial(run).trial_id
    source = ensemble_source(run) if trial_id is None else trial_source(run, trial_id)
    test = None
    if submissions is not None:
        from foldtune.search.assess.sweep_files import scores_to_submit

        test = scores_to_submit(run, source, trial_id)
    with progress_bar("judging settings") as progress:
        swept = list(sweep(source, settings, progress))
    files: list[Path] = []
    if submissions is not None and test is not None:
        from foldtune.search.assess.sweep_files import write_submissions

        with progress_bar("writing submissions") as progress:
            files = write_submissions(run, source, swept, test, submissions, progress)
    _show(run, source, swept, chosen, format)
    if files:
        note(f"{len(files)} submissions in {submissions}, listed in settings.csv")


def _show(run: Run, source: Source, swept: Sequence[SweepResult], metric: str, format: Format) -> None:
    from foldtune.results.tables.sweep_table import sweep_table

    rows = [{"values": dict(each.setting.values), "metrics": dict(each.metrics)} for each in swept]
    if format is Format.json:
        settings = [{"postprocess": dict(each.setting.postprocess), "metrics": dict(each.metrics)} for each in swept]
        print_json({"of": source.name, "rows": len(source.targets), "settings": settings})
    elif format is Format.csv:
        _print_csv([{**each.setting.values, **each.metrics} for each in swept])
    else:
        task = run.task
        names = [metric, *(name for name in task.metrics if name != metric and name in task.tunable_metrics)]
        title = f"{source.name} of run {run.store.name}, {len(source.targets):,} rows that it was not trained on"
        console = output()
        modes = {name: task.metrics[name] for name in names}
        console.print(sweep_table(rows, modes, title=title, width=console.width))


def _print_csv(rows: Sequence[Mapping[str, Any]]) -> None:
    import sys

    import pandas as pd

    pd.DataFrame(rows).to_csv(sys.stdout, index=False)
