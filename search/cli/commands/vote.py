"""Commands that make one model of many: thresholds, ensemble, compare, score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.options import (
    Address,
    DataRoot,
    Format,
    ReportFormat,
    RunName,
    Storage,
    TableFormat,
    TableOrJson,
    TrustMetric,
    output_file,
    output_folder,
)

SIDE = "a run (its best trial), the folder of one of its trials, or an ensemble's folder"


def thresholds(
    run: RunName,
    metric: Annotated[str | None, typer.Option(metavar="M", help="The metric to fit; the run's by default.")] = None,
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
        Path | None,
        typer.Option(metavar="DIR", callback=output_folder, help="Write a submission for each setting of the grid."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, metavar="N", help="Number of rows of the table.")] = 20,
    format: TableFormat = Format.table,
    storage: Storage = "runs",
    data: DataRoot = None,
    trust_metric: TrustMetric = False,
) -> None:
    """Refit every trial's post-processing from its stored scores; nothing is retrained.

    Shows the metric before, cross-fitted (no row is evaluated by a fit that used it: the figure to believe), and on
    the rows of the fit (which flatters). The fitted values are in the JSON, or shown for one trial. With --grid
    nothing is fitted: every metric of each setting that you name, where what is not named stays at its default.

    foldtune thresholds skin
    foldtune thresholds skin --metric macro_f1 --save
    foldtune results skin --sort macro_f1_tuned
    foldtune thresholds toxins --trial 0007 --grid threshold=0.24,0.26,0.28
    foldtune thresholds skin --grid prior_power=0,0.5,1 --grid offsets.mel=0,0.3
    foldtune thresholds skin --ensemble --grid prior_power=0,1 --submissions sweep
    """
    if grid:
        _refuse("--save", save, "a setting of --grid is not fitted, so there is nothing to keep")
        if ensemble:
            _refuse("--trial", trial, "--ensemble tries the settings on the ensemble; give one of the two")
        from foldtune.search.cli.handlers.vote.sweep import SweepRequest, sweep_settings
        from foldtune.search.runs.trusted_metrics import trusting_metrics

        with trusting_metrics(trust_metric):
            sweep_settings(SweepRequest(run, storage, tuple(grid), metric, trial, ensemble, submissions, data), format)
        return
    for flag, value in {"--ensemble": ensemble, "--submissions": submissions}.items():
        _refuse(flag, value, "it is for settings of --grid")
    from foldtune.search.cli.handlers.vote.thresholds import RefitRequest, refit_trials
    from foldtune.search.runs.trusted_metrics import trusting_metrics

    with trusting_metrics(trust_metric):
        refit_trials(RefitRequest(run, storage, metric, trial, save, top, data), format)


def _refuse(flag: str, value: object, reason: str) -> None:
    if value:
        raise typer.BadParameter(reason, param_hint=flag)


def ensemble(
    runs: Annotated[
        list[str],
        typer.Argument(
            help="A run, by name or folder. More of the same data and folds, such as another backbone's search, "
            "lend their trials; the ensemble lies in the first one's folder.",
            show_default=False,
            metavar="RUN",
        ),
    ],
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Finalists: the best configurations over all runs; the run's own number by default.",
        ),
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=2, metavar="N", help="Folds to train, of the run's; all by default.")
    ] = None,
    voting: Annotated[
        str | None,
        typer.Option(
            metavar="soft|hard|weighted|greedy|rank|stack|auto",
            help="How members are combined. soft: mean of scores. hard: each configuration has one vote; "
            "log loss, auroc and other metrics of scores stay those of the mean. "
            "weighted: mean by the weights of least log loss, whatever the metric. greedy: mean of those that "
            "help, chosen again and again. rank: mean of ranks, for auroc and map. "
            "stack: logistic regression of the scores and the columns of data.columns. auto: whichever does best on "
            "rows it was not fitted on.",
        ),
    ] = None,
    min_votes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Votes that a hard decision needs, one a configuration.")
    ] = None,
    tta: Annotated[
        str | None,
        typer.Option(
            metavar="[none|hflip|flips|brightness|all]",
            help="Test-time views, flips where no value is given: each model sees every image 1, 2, 4, 3 or 6 times "
            "and predicts the mean, in the estimate, on the test rows and in `foldtune predict` alike. By default "
            "each configuration's own.",
        ),
    ] = None,
    race: Annotated[
        bool | None,
        typer.Option(
            "--race/--no-race",
            help="After two folds, train no further what is clearly weaker than the best (paired bootstrap); "
            "on by default where there are more folds.",
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="F",
            callback=output_file,
            help="The submission; RUN/ensemble/submission.csv by default.",
        ),
    ] = None,
    format: ReportFormat = TableOrJson.table,
    address: Address = None,
    storage: Storage = "runs",
    data: DataRoot = None,
    trust_metric: TrustMetric = False,
) -> None:
    """Train the best trials on every fold, combine them by a vote, and write the submission.

    The search's own models of fold 0 are used as they are; the other folds are Ray tasks. Stopped or killed, the
    same command goes on where it was. Weights and post-processing are fitted on out-of-fold scores; every figure
    shown is cross-fitted: no row is evaluated by a fit that used it.

    foldtune ensemble skin --top 5 --folds 5 --voting soft -o submission.csv
    foldtune ensemble skin skin_convnext --top 8 --voting auto --tta hflip
    foldtune ensemble skin --top 5 --voting hard --min-votes 3 --no-race
    """
    from foldtune.search.cli.handlers.vote.ensemble import EnsembleOptions, EnsembleRequest, make_ensemble
    from foldtune.search.runs.trusted_metrics import trusting_metrics

    options = EnsembleOptions(top, folds, voting, min_votes, tta, race)
    with trusting_metrics(trust_metric):
        make_ensemble(EnsembleRequest(tuple(runs), storage, options, file, address, data), format)


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help=f"{SIDE[0].upper()}{SIDE[1:]}.", show_default=False)],
    b: Annotated[str, typer.Argument(metavar="B", help="As A; differences are B less A.", show_default=False)],
    metric: Annotated[
        str | None, typer.Option(metavar="M", help="The metric whose difference gets an interval; A's own by default.")
    ] = None,
    format: TableFormat = Format.table,
    storage: Storage = "runs",
    data: DataRoot = None,
    trust_metric: TrustMetric = False,
) -> None:
    """Compare two runs, trials or ensembles on the held-out rows of both, class by class.

    Predictions are cross-fitted on both sides. The interval is of the paired difference over samples of the rows
    (whole groups where the data has groups): if it excludes 0, the rows show which one is better.

    foldtune compare skin skin/ensemble
    foldtune compare skin/trials/0004 skin/trials/0007 --metric macro_f1
    foldtune compare models/skin runs/skin2/ensemble --format json
    """
    from foldtune.search.cli.handlers.vote.compare import compare_held_out
    from foldtune.search.runs.trusted_metrics import trusting_metrics

    with trusting_metrics(trust_metric):
        compare_held_out((a, b), storage, metric, format, data)


def score(
    run: RunName,
    labels: Annotated[
        Path, typer.Option(metavar="F", help="CSV of the test rows with their labels.", show_default=False)
    ],
    storage: Storage = "runs",
    format: ReportFormat = TableOrJson.table,
    trust_metric: TrustMetric = False,
) -> None:
    """Score an ensemble's test predictions by labels that were held back, beside the best single trial's.

    foldtune score skin --labels test_labels.csv
    """
    from foldtune.search.cli.handlers.vote.score import score_run
    from foldtune.search.runs.trusted_metrics import trusting_metrics

    with trusting_metrics(trust_metric):
        score_run(run, storage, labels, format)
