"""Commands of a search: run, search, ablate, logs, stop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.options import (
    Address,
    AllowNoToken,
    AnyAddress,
    ConfigFile,
    DataRoot,
    JobServerAddress,
    Overrides,
    RunName,
    Storage,
    StorageOverride,
    TimeLimit,
    option,
    switch,
    to_file,
)

OwnName = Annotated[str | None, option("NAME", "Name of the run; the file's by default.")]
Trials = Annotated[int | None, option("N", "Number of trials; with --resume, the number of further ones.", min=1)]
Resume = Annotated[bool, switch("Go on with a run that was interrupted.", "--resume")]
RetryFailed = Annotated[
    bool,
    switch(
        "With --resume, try every failed trial again; by default those whose surroundings failed.", "--retry-failed"
    ),
]
FromRuns = Annotated[
    list[str] | None,
    option("RUN", "An earlier run whose best configurations are tried first; may be given often.", "--from"),
]


def search(
    config: ConfigFile,
    override: Overrides = None,
    name: OwnName = None,
    storage: StorageOverride = None,
    trials: Trials = None,
    time_limit: TimeLimit = None,
    address: AnyAddress = None,
    allow_no_token: AllowNoToken = False,
    resume: Resume = False,
    data: DataRoot = None,
    retry_failed: RetryFailed = False,
    from_runs: FromRuns = None,
) -> None:
    """Search hyperparameters; the last line of the output is the best trial.

    Ctrl-C stops cleanly; --resume goes on, also after a crash, and no finished trial is trained again. The run's
    folder is FOLDER/NAME; its study opens in optuna-dashboard while it runs. With `targets` each target has a
    search of its own, one after the other, as run NAME.TARGET.

    With --time-limit no trial starts that cannot reach its first rung in time; at the end of the time those that run
    end as PRUNED, with what they have trained. Pauses before --resume do not count; several targets share the time.

    With --from the values of earlier trials are there for TPE, too, where rows, folds, metric and epochs are the same.

    On a cluster --storage is a folder that every node mounts, or a URL:

    foldtune search skin.yaml --address auto              from one of its nodes
    foldtune search skin.yaml --address http://head:8265  a job: Ctrl-C leaves it
    foldtune logs skin --follow
    foldtune stop skin
    """
    from foldtune.search.cli.handlers.search.search import SearchRequest, run_search_command

    _check_resume(resume, retry_failed, from_runs)
    request = SearchRequest(
        config,
        tuple(override or ()),
        name,
        storage,
        trials,
        address,
        allow_no_token,
        resume,
        data,
        retry_failed,
        time_limit,
        tuple(from_runs or ()),
    )
    run_search_command(request)


def run(
    config: ConfigFile,
    override: Overrides = None,
    name: OwnName = None,
    storage: StorageOverride = None,
    trials: Trials = None,
    time_limit: TimeLimit = None,
    deadline: Annotated[
        str | None, option("WHEN", "When it is to end: 18:00, today or else tomorrow, or a date with a time.")
    ] = None,
    file: Annotated[Path | None, to_file("The submission; STORAGE/NAME/submission.csv by default.")] = None,
    dry_run: Annotated[bool, switch("Time a step of each model, print the forecast, and end.", "--dry-run")] = False,
    address: AnyAddress = None,
    allow_no_token: AllowNoToken = False,
    resume: Resume = False,
    data: DataRoot = None,
    retry_failed: RetryFailed = False,
    from_runs: FromRuns = None,
) -> None:
    """Search, train the best trials on every fold, vote, write submission and report: all in one, and in time.

    Without a limit the chain runs as configured. With one, what the folds of the finalists at hand cost is kept for
    them, planned anew at the end of each trial. Trials give way first; where folds would take more than three fifths
    of the time, views, finalists, folds and epochs do, each cut a line. From the first finished trial on a valid
    submission stands on disk, at first of the best trial alone, evaluated on its one fold.

    foldtune run skin.yaml
    foldtune run skin.yaml --time-limit 2h -o submission.csv
    foldtune run skin.yaml --deadline 18:00
    foldtune run skin.yaml --time-limit 2h --dry-run
    """
    from foldtune.search.cli.handlers.search.chain import RunRequest, run_chain_command
    from foldtune.search.cli.handlers.search.search import SearchRequest

    _check_resume(resume, retry_failed, from_runs)
    search_part = SearchRequest(
        config,
        tuple(override or ()),
        name,
        storage,
        trials,
        address,
        allow_no_token,
        resume,
        data,
        retry_failed,
        from_runs=tuple(from_runs or ()),
    )
    run_chain_command(RunRequest(search_part, time_limit, deadline, file, dry_run))


def ablate(
    config: ConfigFile,
    vary: Annotated[
        list[str], option("KEY", "Parameter of the space of which each choice is tried; may be given often.", "--vary")
    ],
    from_run: Annotated[
        str | None, option("RUN", "Take the best trial of this run as the base, in the place of the default.", "--from")
    ] = None,
    folds: Annotated[int | None, option("K", "Folds that each choice is trained on; 3 by default.", min=2)] = None,
    seeds: Annotated[int, option("N", "Trainings of each fold, with seeds of their own.", min=1)] = 1,
    file: Annotated[Path | None, to_file("The table as a CSV, too.")] = None,
    override: Overrides = None,
    name: Annotated[str | None, option("NAME", "Name of its run; the file's with -ablation by default.")] = None,
    storage: StorageOverride = None,
    address: Address = None,
    allow_no_token: AllowNoToken = False,
    resume: Resume = False,
    data: DataRoot = None,
) -> None:
    """Compare each choice of a parameter with a base, on the same folds and seeds.

    All else is as in the base configuration.

    The choices race: after two folds those that are clearly weaker drop out. Of each one: its cross-fitted value, the
    difference from the base on the same rows with its 95% interval (whole groups of rows are drawn), time and size.
    An interval that contains 0 is no clear difference. Of several targets it is one table.

    Its run is one as of a search, in which `results` and `ensemble` work.

    foldtune ablate skin.yaml --vary loss --vary augmentation -o ablation.csv
    foldtune ablate skin.yaml --vary loss --from skin
    """
    from foldtune.search.cli.handlers.search.ablate import AblationRequest, run_ablation

    request = AblationRequest(
        config,
        tuple(override or ()),
        name,
        storage,
        address=address,
        allow_no_token=allow_no_token,
        resume=resume,
        data=data,
        from_runs=() if from_run is None or resume else (from_run,),
        vary=tuple(vary),
        folds=folds,
        seeds=seeds,
        file=file,
    )
    run_ablation(request)


def _check_resume(resume: bool, retry_failed: bool, from_runs: list[str] | None) -> None:
    if retry_failed and not resume:
        raise typer.BadParameter("it is for --resume: a new run has no failed trials", param_hint="--retry-failed")
    if from_runs and resume:
        raise typer.BadParameter("it is for a new run: what one takes over is stored in it", param_hint="--from")


def logs(
    run: RunName,
    follow: Annotated[bool, switch("Go on until the job ends.", "--follow", "-f")] = False,
    storage: Storage = "runs",
    address: JobServerAddress = None,
    allow_no_token: AllowNoToken = False,
) -> None:
    """Show the output of the job that searches a run.

    With --address RUN may also be a job's id, which needs no access to the storage.
    """
    from foldtune.search.cli.handlers.search.jobs import JobRequest, show_log

    show_log(JobRequest(run, storage, address, allow_no_token), follow=follow)


def stop(
    run: RunName,
    storage: Storage = "runs",
    address: JobServerAddress = None,
    allow_no_token: AllowNoToken = False,
) -> None:
    """Stop the search of a run cleanly, wherever it runs: what finished is kept, --resume goes on.

    With --address RUN may also be a job's id, which needs no access to the storage.
    """
    from foldtune.search.cli.handlers.search.jobs import JobRequest, stop_search

    stop_search(JobRequest(run, storage, address, allow_no_token))
