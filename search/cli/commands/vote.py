"""Commands that make one model of many: thresholds, ensemble, compare, score."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

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
    TimeLimit,
    TrustMetric,
    argument,
    option,
    output_folder,
    seconds,
    switch,
    to_file,
)

SIDE = "a run (its best trial), the folder of one of its trials, or an ensemble's folder"


def thresholds(
    run: RunName,
    metric: Annotated[str | None, option("M", "The metric to fit; the run's by default.")] = None,
    trial: Annotated[str | None, option("ID", "One trial, with its fitted values.")] = None,
    save: Annotated[bool, switch("Keep the cross-fitted figures: results --sort M_tuned has them.", "--save")] = False,
    grid: Annotated[
        list[str] | None, option("KEY=V,V…", "Try these values instead; given often, all combinations.")
    ] = None,
    ensemble: Annotated[
        bool, switch("Try them on the run's ensemble; its best trial by default.", "--ensemble")
    ] = False,
    submissions: Annotated[
        Path | None, option("DIR", "Write a submission for each setting of the grid.", callback=output_folder)
    ] = None,
    top: Annotated[int, option("N", "Number of rows of the table.", min=1)] = 20,
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
        from foldtune.search.cli.handlers.vote.thresholds import SweepRequest, sweep_settings

        sweep_settings(SweepRequest(run, storage, tuple(grid), metric, trial, ensemble, submissions, data), format)
        return
    for flag, value in {"--ensemble": ensemble, "--submissions": submissions}.items():
        _refuse(flag, value, "it is for settings of --grid")
    from foldtune.search.cli.handlers.vote.thresholds import refit_trials
    from foldtune.search.runs.group import open_targets
    from foldtune.search.runs.run import open_run

    runs: dict[str | None, Any] = (
        open_targets(run, storage, data) if trial is None else {None: open_run(run, storage, data)}
    )
    refit_trials(runs, format, metric, trial, save=save, top=top)


def _refuse(flag: str, value: object, reason: str) -> None:
    if value:
        raise typer.BadParameter(reason, param_hint=flag)


def ensemble(
    runs: Annotated[
        list[str],
        argument(
            "RUN",
            "A run, by name or folder. More of the same data and folds, such as another backbone's search, "
            "lend their trials; the ensemble lies in the first one's folder.",
        ),
    ],
    top: Annotated[
        int | None,
        option("N", "Finalists: the best configurations over all runs; the run's own number by default.", min=1),
    ] = None,
    folds: Annotated[int | None, option("N", "Folds to train, of the run's; all by default.", min=2)] = None,
    voting: Annotated[
        str | None,
        option(
            "soft|hard|weighted|greedy|rank|stack|auto",
            "How members are combined. soft: mean of scores. hard: each configuration has one vote; "
            "log loss, auroc and other metrics of scores stay those of the mean. "
            "weighted: mean by the weights of least log loss, whatever the metric. greedy: mean of those that "
            "help, chosen again and again. rank: mean of ranks, for auroc and map. "
            "stack: logistic regression of the scores and the columns of data.columns. auto: whichever does best on "
            "rows it was not fitted on.",
        ),
    ] = None,
    min_votes: Annotated[
        int | None, option("N", "Votes that a hard decision needs, one a configuration.", min=1)
    ] = None,
    tta: Annotated[
        str | None,
        option(
            "[none|hflip|flips|brightness|all]",
            "Test-time views, flips where no value is given: each model sees every image 1, 2, 4, 3 or 6 times "
            "and predicts the mean, in the estimate, on the test rows and in `foldtune predict` alike. By default "
            "each configuration's own.",
        ),
    ] = None,
    race: Annotated[
        bool | None,
        switch(
            "After two folds, train no further what is clearly weaker than the best (paired bootstrap); "
            "on by default where there are more folds.",
            "--race/--no-race",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        option(
            "N",
            "Train each fold's models by N seeds and average their scores; what is trained is taken over. The spread "
            "over the seeds is shown.",
            min=1,
        ),
    ] = None,
    refit: Annotated[
        str | None,
        option(
            "all",
            "Train one model a configuration on all rows, too, to the median epoch of its fold models. It predicts, "
            "in the submission and in `foldtune predict`; the estimate is of the fold models, as no row is held out "
            "of it.",
        ),
    ] = None,
    time_limit: TimeLimit = None,
    file: Annotated[Path | None, to_file("The submission; RUN/ensemble/submission.csv by default.")] = None,
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

    With --time-limit, what does not fit by the forecast gives way, each cut a line: views, finalists down to 3, folds
    down to 3, finalists and folds down to 2, then one configuration, then epochs down to a third. Further seeds, and
    models of all rows, train in what is left.

    foldtune ensemble skin --top 5 --folds 5 --voting soft -o submission.csv
    foldtune ensemble skin skin_convnext --top 8 --voting auto --tta hflip
    foldtune ensemble skin --top 5 --voting hard --min-votes 3 --no-race
    foldtune ensemble skin --seeds 3 --refit all
    """
    from foldtune.search.cli.handlers.vote.ensemble import EnsembleOptions, EnsembleRequest, make_ensemble

    options = EnsembleOptions(top, folds, voting, min_votes, tta, race, seconds(time_limit), seeds, refit)
    make_ensemble(EnsembleRequest(tuple(runs), storage, options, file, address, data), format)


def compare(
    a: Annotated[str, argument("A", f"{SIDE[0].upper()}{SIDE[1:]}.")],
    b: Annotated[str, argument("B", "As A; differences are B less A.")],
    metric: Annotated[
        str | None, option("M", "The metric whose difference gets an interval; A's own by default.")
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

    compare_held_out((a, b), storage, metric, format, data)


def score(
    run: RunName,
    labels: Annotated[Path, option("F", "CSV of the test rows with their labels.", show_default=False)],
    storage: Storage = "runs",
    format: ReportFormat = TableOrJson.table,
    trust_metric: TrustMetric = False,
) -> None:
    """Score an ensemble's test predictions by labels that were held back, beside the best single trial's.

    Both are decided by post-processing that is fitted to out-of-fold scores, where the space does not fix it.

    foldtune score skin --labels test_labels.csv
    """
    from foldtune.search.cli.handlers.vote.compare import score_run

    score_run(run, storage, labels, format)
