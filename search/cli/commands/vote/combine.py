"""What `foldtune ensemble` does around the work itself: rows, locks, Ray, the submission, the tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from foldtune.search.cli.options import decoders
from foldtune.search.cli.ray_session import RaySession
from foldtune.search.cli.terminal import errors, note, output, progress_bar

if TYPE_CHECKING:
    from foldtune.results.storage.paths import StorePath
    from foldtune.search.ensemble.build import Ensemble
    from foldtune.search.ensemble.fold_tasks import Missing
    from foldtune.search.ensemble.plan import EnsemblePlan
    from foldtune.search.ensemble.sources import Source
    from foldtune.search.runs.group import RunGroup
    from foldtune.search.runs.run import Run

ALONE = ""
"""Name of the only target where there are no groups."""


def find_runs(names: Sequence[str], storage: str) -> tuple[RunGroup | None, dict[str, list[Run]]]:
    """The runs to combine by target; the group that the ensembles belong to, where the names are those of groups.

    Raises:
        InputError: groups and plain runs together, groups of other targets, runs that cannot vote together.
    """
    from foldtune.errors import InputError
    from foldtune.search.ensemble.candidates import check_runs
    from foldtune.search.runs.group import find_group
    from foldtune.search.runs.run import open_run

    groups = [find_group(name, storage) for name in names]
    found = [group for group in groups if group is not None]
    if not found:
        by_target = {ALONE: [open_run(name, storage) for name in names]}
    elif len(found) < len(names):
        plain = [name for name, group in zip(names, groups, strict=True) if group is None]
        raise InputError(f"{found[0].name!r} has several targets and {plain[0]!r} has not: name runs, or groups, alone")
    else:
        opened = [group.open_all() for group in found]
        for group, targets in zip(found, opened, strict=True):
            if set(targets) != set(opened[0]):
                ours, theirs = ", ".join(opened[0]), ", ".join(targets)
                raise InputError(f"group {group.name!r} differs in its targets: {theirs}; {found[0].name!r} has {ours}")
        by_target = {target: [each[target] for each in opened] for target in opened[0]}
    for runs in by_target.values():
        check_runs(runs)
    return (found[0] if found else None), by_target


@contextmanager
def lock_runs(runs: Sequence[Run]) -> Iterator[None]:
    """Hold the locks of all runs: no search may remove weights that are about to be taken over."""
    from foldtune.errors import RunBusy

    with ExitStack() as stack:
        for run in runs:
            try:
                stack.enter_context(run.store.lock())
            except RunBusy:
                raise RunBusy(f"run {run.store.name!r} is searching or ensembling: wait for it, or stop it") from None
        yield


def build(runs: Sequence[Run], plan: EnsemblePlan, ray: RaySession) -> Ensemble:
    """Choose the finalists, check what can be checked before any training, and build the ensemble."""
    from foldtune.search.cli.display.fold_table import showing_folds
    from foldtune.search.ensemble.build import build_ensemble
    from foldtune.search.ensemble.candidates import choose_finalists
    from foldtune.search.ensemble.fold_tasks import ensure_all_trained
    from foldtune.search.ensemble.sources import check_sources
    from foldtune.search.ensemble.submission import rehearse_submission

    chosen = choose_finalists(runs, plan)
    if len(chosen) < plan.top:
        there = "the run has" if len(runs) == 1 else "the runs have"
        note(f"--top {plan.top}: {there} only {len(chosen)} trials to combine; all are")
    sources = [_open(run) for run in runs]
    check_sources(sources)
    if sources[0].test is not None:
        rehearse_submission(runs[0], chosen[0], sources[0].test.ids)

    console = errors()

    def connect(missing: Missing) -> None:
        for run in runs:
            ray.connect(run.config.resources, f"{missing}: starting Ray …", console)

    try:
        with ray.ending_workers(), showing_folds(console, [each.id for each in chosen], plan.folds) as watcher:
            return build_ensemble(sources, plan, chosen, partial(ensure_all_trained, connect=connect), watcher)
    except KeyboardInterrupt:
        note("stopped; what is trained is kept: the same command goes on from there")
        raise typer.Exit(130) from None


def _open(run: Run) -> Source:
    from foldtune.results.tables.formatting import counted
    from foldtune.search.ensemble.sources import open_source

    with progress_bar("decoding images") as progress:
        source = open_source(run, decoders(), progress)
    if source.broken:
        note(
            f"{counted(len(source.broken), 'image')} to submit cannot be read: scored by the mean of the others "
            f"(first: {source.broken[0]})"
        )
    return source


def submit(run: Run, built: Ensemble, file: Path | None) -> StorePath | None:
    """Write the submission of a run's ensemble to `file`; gives where it lies, None where there is none."""
    from foldtune.results.storage.files import write_csv

    if built.submission is None:
        if file is not None:
            note("no submission is written: the configuration names no data.test")
        return None
    if file is None:
        return run.store.ensemble.submission_path
    write_csv(file, built.submission)
    return file


def submit_group(group: RunGroup, built: Mapping[str, Ensemble], file: Path | None) -> StorePath | None:
    """Write the submission of all targets of a group; gives where it lies."""
    frames = {name: each.submission for name, each in built.items() if each.submission is not None}
    if not frames:
        if file is not None:
            note("no submission is written: the configuration names no data.test")
        return None
    group.submit(frames, file)
    return file or group.submission_path


def show(built: Mapping[str, Ensemble], target: StorePath | None) -> None:
    """Print the tables, and where the submission lies."""
    from foldtune.results.tables.ensemble_table import ensemble_table

    console = output()
    for name, each in built.items():
        if name != ALONE:
            console.print(f"target {name}", style="bold")
        console.print(ensemble_table(each.description, width=console.width))
    submission = next(iter(built.values())).submission
    if submission is not None:
        console.print(f"submission: {target} ({len(submission)} rows)", soft_wrap=True)
