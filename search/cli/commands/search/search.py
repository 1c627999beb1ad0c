"""`foldtune search`."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldtune.search.cli.options import AllowNoToken, AnyAddress, ConfigFile, Overrides, decoders
from foldtune.search.cli.ray_session import RaySession
from foldtune.search.cli.remote.command import RemoteCommand, remote_address, run_remote
from foldtune.search.cli.terminal import errors, note, output, progress_bar

if TYPE_CHECKING:
    from foldtune.search.config.schema import RunConfig
    from foldtune.search.config.targets import TargetsFile
    from foldtune.search.runs.dataset import Labelled
    from foldtune.search.runs.run import Run
    from foldtune.search.runs.validation import Checked


SHOWN = 5
"""Images left out that are named."""


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def search(
        config: ConfigFile,
        override: Overrides = None,
        name: Annotated[str | None, typer.Option(help="Name of the run; the file's by default.")] = None,
        storage: Annotated[
            str | None, typer.Option(metavar="FOLDER|URL", help="Where runs are kept; the file's by default.")
        ] = None,
        trials: Annotated[int | None, typer.Option(min=1, help="Trials; with --resume, so many more.")] = None,
        address: AnyAddress = None,
        allow_no_token: AllowNoToken = False,
        resume: Annotated[bool, typer.Option("--resume", help="Go on with a run that was interrupted.")] = False,
    ) -> None:
        """Search hyperparameters; the last line of the output is the best trial.

        Ctrl-C stops cleanly; --resume goes on, also after a crash, and no finished trial is trained again. The run's
        folder is FOLDER/NAME; its study opens in optuna-dashboard while it runs. With `targets` each target has a
        search of its own, one after the other, as run NAME.TARGET.

        On a cluster --storage is a folder that every node mounts, or a URL:

        foldtune search skin.yaml --address auto                    from one of its machines
        foldtune search skin.yaml --address http://head:8265        as a job: Ctrl-C leaves it running
        foldtune logs skin --follow
        foldtune stop skin
        """
        import os

        from foldtune.search.config.loading import load_config
        from foldtune.search.config.packaging import RESUME_COMMAND, leave_job_folder
        from foldtune.search.config.targets import read_targets
        from foldtune.search.runs.validation import check_file

        flags = {"name": name, "storage": storage, "search.num_samples": None if resume else trials}
        again = resume_command(config, override or [], name, storage, address, allow_no_token)
        remote = remote_address(address)
        if remote is not None:
            run_remote(
                remote,
                _remote_command(config, override or [], flags, resume, trials, again),
                allow_no_token=allow_no_token,
            )
            return
        again, config = os.environ.get(RESUME_COMMAND, again), leave_job_folder(config)
        several = read_targets(config, override or [], flags)
        with RaySession(address, allow_no_token=allow_no_token) as ray:
            if several is not None:
                _search_targets(several, ray, resume, trials or 0, again)
            elif resume:
                _search(partial(_resume, load_config(config, override or [], flags), trials or 0), ray, True, again)
            else:
                _search(partial(_start, check_file(config, override or [], flags), ray), ray, False, again)


def _search(prepare: Callable[[ExitStack], tuple[Run, Labelled]], ray: RaySession, resumed: bool, again: str) -> None:
    with ExitStack() as stack:  # holds the run's lock
        run_search(*prepare(stack), ray, resumed=resumed, again=again)


def _search_targets(file: TargetsFile, ray: RaySession, resume: bool, more: int, again: str) -> None:
    """One search a target, in the order of the file; a target whose search fails does not stop those after it."""
    from foldtune.errors import WorkError
    from foldtune.search.runs.group import new_group, reopen_group
    from foldtune.search.runs.target_checks import check_target, check_targets

    checked = None if resume else check_targets(file)
    group = reopen_group(file) if checked is None else new_group(checked)
    failed = []
    with group.lock():
        for target in group.runs:
            resumed = group.has_run(target)
            if resumed:
                prepare = partial(_resume, file.config(target)[0], more)
            else:
                prepare = partial(_start, checked.targets[target] if checked else check_target(file, target), ray)
            output().print(f"target {target}: run {group.runs[target]}", style="bold", soft_wrap=True)
            try:
                _search(prepare, ray, resumed, again)
            except WorkError as error:
                failed.append(f"target {target}: {error}")
    if failed:
        raise WorkError("\n".join(failed))


def resume_command(
    config: Path,
    override: Sequence[str],
    name: str | None,
    storage: str | None,
    address: str | None,
    allow_no_token: bool = False,
) -> str:
    """The command that goes on with the run of these arguments."""
    options = {"--name": name, "--storage": storage, "--address": address}
    given = [part for option, value in options.items() if value is not None for part in (option, value)]
    sets = [part for text in override for part in ("--set", text)]
    trust = ["--allow-no-token"] if allow_no_token else []
    return shlex.join(["foldtune", "search", str(config), *sets, *given, *trust, "--resume"])


def run_search(run: Run, labelled: Labelled, ray: RaySession, *, resumed: bool, again: str) -> None:
    """Search, and print what came of it; `again` is the command that goes on with it."""
    from foldtune.errors import ClusterError
    from foldtune.results.runs.driver_file import write_driver
    from foldtune.search.cli.display.live import showing
    from foldtune.search.config.packaging import this_driver
    from foldtune.search.tuning.preflight import require_ready_nodes
    from foldtune.search.tuning.tuner import Search

    search = Search(run.config, run.store, run.space, labelled, run.goal, resumed=resumed)
    if search.remaining():
        try:
            ray.connect(run.config.resources, f"run {run.store.root}: starting Ray …")
            if resumed and ray.joins:
                require_ready_nodes(run.config, labelled.table.paths)
        except ClusterError as error:
            raise ClusterError(f"{error}; the run is prepared: correct this and add --resume") from None
    write_driver(run.store, this_driver())
    with ray.ending_workers(), showing(errors()) as observer:
        end = search.run(observer)
    if end.interrupted:
        ray.close()
    _report(run, again if end.interrupted else None, end.stop_reason)


def _remote_command(
    config: Path, override: Sequence[str], flags: Mapping[str, Any], resume: bool, trials: int | None, again: str
) -> RemoteCommand:
    """The search as a command of its own on a cluster; what can be checked here is checked before it is sent."""
    from foldtune.search.config.loading import load_config, read_raw
    from foldtune.search.config.packaging import CONFIG, arguments, pack_job
    from foldtune.search.config.targets import read_targets
    from foldtune.search.runs.target_checks import check_targets
    from foldtune.search.runs.validation import check_run
    from foldtune.spaces import Space

    raw = read_raw(config, override, flags)
    several = read_targets(config, override, flags)
    checked = load_config(config, override, flags) if several is None else several.config(next(iter(several.raws)))[0]
    if not checked.data.train.is_file():  # a path of the cluster's: the job looks before it trains
        Space.parse(checked.space)
    elif several is None:
        check_run(checked)
    else:
        check_targets(several)
    packed = pack_job(raw, config.parent)
    sent = arguments(CONFIG, resume=resume, more=trials)
    return RemoteCommand(sent, packed.config, packed.run, packed.storage, again)


def _start(checked: Checked, ray: RaySession, stack: ExitStack) -> tuple[Run, Labelled]:
    from foldtune.search.runs.run import new_store, start_run
    from foldtune.search.tuning.preflight import require_ready_nodes

    if ray.joins:  # before anything is decoded or written: a folder of this machine alone would be the wrong one
        ray.connect(checked.config.resources, "joining the cluster …")
        require_ready_nodes(checked.config, checked.table.paths)
    store = stack.enter_context(new_store(checked.config))
    with progress_bar("decoding images") as progress:
        run, labelled = start_run(checked, store, decoders(), progress)
    kept = set(labelled.table.ids)
    if left_out := [name for name in checked.table.ids if name not in kept]:
        shown = ", ".join(left_out[:SHOWN]) + (", …" if len(left_out) > SHOWN else "")
        note(f"{len(left_out)} images cannot be read and are left out: {shown}")
    _tell_left_out(labelled)
    return run, labelled


def _tell_left_out(labelled: Labelled) -> None:
    from foldtune.trainers.data.labels import described

    if rows := labelled.table.left_out:
        note(f"{sum(rows.values())} rows are left out: {described(rows)}")
    for warning in labelled.task.label_warnings:
        note(warning)


def _resume(given: RunConfig, more: int, stack: ExitStack) -> tuple[Run, Labelled]:
    from foldtune.search.runs.run import extend, open_run, reopen_labelled

    run = open_run(given.name, given.storage)
    stack.enter_context(run.store.lock())
    run = extend(run, given, more)
    with progress_bar("decoding images") as progress:
        labelled = reopen_labelled(run, decoders(), progress)
    _tell_left_out(labelled)
    return run, labelled


def _report(run: Run, again: str | None, stop_reason: str | None) -> None:
    from foldtune.errors import WorkError
    from foldtune.results.runs.leaderboard import leaderboard
    from foldtune.results.runs.ranking import finalists
    from foldtune.results.tables.leaderboard_table import results_table

    console = output()
    records = run.store.trials()
    frame = leaderboard(records, run.goal)
    console.print(results_table(frame, run.goal, width=console.width, modes=run.task.metrics))
    if again is not None:
        note(f"stopped; what finished is kept in {run.store.root}; go on with: {again}")
        raise typer.Exit(130)
    if stop_reason:
        raise WorkError(f"the search was given up: {stop_reason}; see {run.store.leaderboard_path}")
    best = finalists(records, run.goal, 1)
    if not best:
        reasons = sorted({record.error or "" for record in records})
        raise WorkError(f"no trial succeeded: {'; '.join(reasons[:3])}; see {run.store.leaderboard_path}")
    value = best[0].value(run.goal.metric)
    console.print(f"best trial: {best[0].trial_id} {run.goal.metric}={value:.4f} ({run.store.root})", soft_wrap=True)
