"""The training of an ensemble's fold models and their combination: locks, Ray, what is shown meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import typer

from foldtune.errors import RunBusy
from foldtune.results.tables.formatting import counted
from foldtune.search.cli.display.live import show_folds
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.processes import decoder_processes
from foldtune.search.cli.ray_session import RaySession
from foldtune.search.cli.remote.command import INTERRUPTED
from foldtune.search.cli.terminal import errors, note
from foldtune.search.config.schema import EnsembleConfig
from foldtune.search.ensemble.build import Ensemble, build_ensemble
from foldtune.search.ensemble.fold_tasks import Missing, ensure_all_trained
from foldtune.search.ensemble.plan import choose_finalists
from foldtune.search.ensemble.sources import Source, check_sources, open_source
from foldtune.search.ensemble.submission import check_submission_format, column_notes
from foldtune.search.runs.run import Run
from foldtune.search.voting.combiner import EnsembleCombiner


def combine(
    by_target: Mapping[str, Sequence[Run]], plans: Mapping[str, EnsembleConfig], address: str | None
) -> dict[str, Ensemble]:
    """Return the ensemble of each target; the fold models that are missing are trained on one Ray session.

    Args:
        address: address of a Ray cluster, None for a Ray of this machine.

    Raises:
        RunBusy: another process works on one of the runs.
        typer.Exit: interrupted; what is trained is kept.
    """
    built = {}
    with RaySession(address) as ray:
        for target, runs in by_target.items():
            with lock_runs(runs):
                built[target] = _build(runs, plans[target], ray)
    return built


@contextmanager
def lock_runs(runs: Sequence[Run]) -> Iterator[None]:
    """Hold the locks of all runs, so that no search removes weights that are about to be reused.

    Raises:
        RunBusy: another process works on one of them.
    """
    with ExitStack() as stack:
        for run in runs:
            try:
                stack.enter_context(run.store.lock())
            except RunBusy:
                raise RunBusy(f"run {run.store.name!r} is searching or ensembling: wait for it, or stop it") from None
        yield


def _build(runs: Sequence[Run], plan: EnsembleConfig, ray: RaySession) -> Ensemble:
    """Choose the finalists, check what can be checked before any training, and build the ensemble."""
    chosen = choose_finalists(runs, plan)
    if len(chosen) < plan.top:
        there = "the run has" if len(runs) == 1 else "the runs have"
        note(f"--top {plan.top}: {there} only {len(chosen)} trials to combine; all are")
    for run in runs:
        note_unreadable(run)
    sources = [read_source(run) for run in runs]
    check_sources(sources)
    if sources[0].test is not None:
        check_submission_format(runs[0], chosen[0], sources[0].test.ids)

    console = errors()

    def connect(missing: Missing) -> None:
        for run in runs:
            ray.connect(run.config.resources, f"{missing}: starting Ray …", console)

    try:
        with ray.ending_workers(), show_folds(console, [each.id for each in chosen], plan.folds) as watcher:
            built = build_ensemble(sources, plan, chosen, partial(ensure_all_trained, connect=connect), watcher)
    except KeyboardInterrupt:
        note("stopped; what is trained is kept: the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    if sources[0].test is not None:
        combiner = EnsembleCombiner.from_dict(built.description)
        for text in column_notes(runs[0], combiner, sources[0].test.ids):
            note(f"to submit: {text}")
    return built


def note_unreadable(run: Run) -> None:
    """Name the trials whose files cannot be read; they stay as they are, and take no part."""
    unreadable = [record for record in run.store.trials() if not record.is_readable]
    if unreadable:
        first = unreadable[0]
        text = f"{counted(len(unreadable), 'trial')} of run {run.store.name!r} left out (first: {first.trial_id}"
        note(f"{text}, {first.error}); nothing of them is removed")


def read_source(run: Run) -> Source:
    """Return a run's rows, its images decoded; images to submit that cannot be read are noted."""
    with progress_bar("decoding images") as progress:
        source = open_source(run, decoder_processes(), progress)
    for text in source.notes:
        note(text)
    if source.broken:
        note(
            f"{counted(len(source.broken), 'image')} to submit cannot be read: scored by the mean of the others "
            f"(first: {source.broken[0]})"
        )
    return source
