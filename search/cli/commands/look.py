"""Commands that show a search: runs, results, leaderboard, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.options import (
    DataRoot,
    Format,
    ReportFormat,
    RunName,
    Storage,
    TableFormat,
    TableOrJson,
    TrustMetric,
    argument,
    option,
    switch,
    to_file,
    to_folder,
)


def runs(context: typer.Context, storage: Storage = "runs", format: TableFormat = Format.table) -> None:
    """List the runs of a storage: their state, trials, best value, size and note, and the Ray jobs that search them.

    foldtune runs
    foldtune runs --storage s3://bucket/runs --format json
    foldtune runs note skin "the one with larger images"
    foldtune runs archive skin-2025
    foldtune runs rm skin-test
    """
    if context.invoked_subcommand is not None:
        return
    from foldtune.search.cli.handlers.look.runs import show_runs

    show_runs(storage, format)


def results(
    names: Annotated[list[str], argument("RUN…", "Runs: names under the storage, paths or URLs of their folders.")],
    top: Annotated[
        int | None, option("N", "Number of rows; by default 20 in a table, all as CSV or JSON.", min=1)
    ] = None,
    sort: Annotated[str | None, option("M", "A column to sort by; the run's metric by default.")] = None,
    trial: Annotated[str | None, option("ID", "One trial: its epochs, and the whole reason of a failure.")] = None,
    watch: Annotated[bool, switch("Keep the table current until the search ends.", "--watch")] = False,
    format: TableFormat = Format.table,
    storage: Storage = "runs",
) -> None:
    """Show a run's trials, the best first, also while it is searching; of several runs in one table.

    foldtune results skin --top 5
    foldtune results skin --sort fit_time_s
    foldtune results skin --trial 0007
    foldtune results skin --watch
    foldtune results skin --format json | jq '.[0]'
    foldtune results skin skin_b
    """
    run = names[0]
    if len(names) > 1:
        if trial is not None or watch:
            raise typer.BadParameter("it is of one run", param_hint="--watch" if watch else "--trial")
        from foldtune.search.cli.handlers.look.results import ResultsRequest, show_joint_results

        show_joint_results(names, storage, ResultsRequest(run, storage, sort, top), format)
        return
    if trial is not None:
        if watch or top is not None or sort is not None:
            raise typer.BadParameter("it shows one trial; leave out --watch, --top and --sort", param_hint="--trial")
        from foldtune.search.cli.handlers.look.results import show_trial

        show_trial(run, storage, trial, format)
        return
    from foldtune.search.cli.handlers.look.results import ResultsRequest, show_results

    show_results(ResultsRequest(run, storage, sort, top), format, watch=watch)


def leaderboard(
    run: RunName,
    file: Annotated[Path, to_file("The CSV to write.")],
    sort: Annotated[str | None, option("M", "A column to sort by; the run's metric by default.")] = None,
    storage: Storage = "runs",
) -> None:
    """Write every trial of a run to a CSV.

    Columns: rank, trial_id, status, the metric, its tuned value, epochs, fit_time_s, images_per_s, params_m, the
    other metrics, params_*, error.

    foldtune leaderboard skin --output leaderboard.csv
    """
    from foldtune.search.cli.handlers.look.results import ResultsRequest, write_leaderboard

    write_leaderboard(ResultsRequest(run, storage, sort), file)


def report(
    run: RunName,
    folder: Annotated[Path, to_folder("The folder to write.")],
    timing: Annotated[bool, switch("Time each model's inference here.", "--timing/--no-timing")] = True,
    device: Annotated[
        str | None, option("DEVICE", "Device of the timing: cpu, cuda …; a GPU where there is one by default.")
    ] = None,
    format: ReportFormat = TableOrJson.table,
    storage: Storage = "runs",
    data: DataRoot = None,
    trust_metric: TrustMetric = False,
) -> None:
    """Write the figures by which a team judges a run and chooses a model: CSV and JSON files in a folder.

    models.csv holds the best trial of each model: metric, parameters in millions, training time, images a second in
    training, milliseconds an image in prediction (measured here on batches of 32, without decoding), and whether
    that trial was complete or pruned (stopped early). `pareto` marks the models that no other one equals by the metric
    and by that time (with --no-timing the parameters) and betters by one of them. Of an ensemble, on its cross-fitted
    predictions: per_class.csv and per_class.json (precision, recall, F1, rows) and, where each image has one label,
    confusion.csv.

    Of several targets each has a folder of its own in it.

    foldtune report skin --output report
    """
    from foldtune.search.cli.handlers.look.report import write_report
    from foldtune.search.runs.group import open_targets

    write_report(open_targets(run, storage, data), folder, format, timing=timing, device=device)
