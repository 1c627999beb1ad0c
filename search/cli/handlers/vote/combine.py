"""The training of an ensemble's fold models and their combination: locks, Ray, what is shown meanwhile."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import typer

from foldtune.cluster.resources import TrialResources, slots
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
from foldtune.search.ensemble.fit_time import fit_into
from foldtune.search.ensemble.fold_tasks import FoldLimit, Missing, ensure_all_trained
from foldtune.search.ensemble.plan import choose_finalists
from foldtune.search.ensemble.sources import Source, check_sources, open_source
from foldtune.search.ensemble.submission import check_submission_format, column_notes
from foldtune.search.planning.budget import Budget
from foldtune.search.planning.fold_time import FoldTime
from foldtune.search.runs.run import Run
from foldtune.search.voting.combiner import EnsembleCombiner
from foldtune.search.workers.fold_job import FoldJob, FoldOutcome, FoldWork

RAY_START_S = 10.0
"""Seconds of the start of an embedded Ray."""


def combine(
    by_target: Mapping[str, Sequence[Run]],
    plans: Mapping[str, EnsembleConfig],
    ray: RaySession,
    budget: Budget,
    on_outcome: Callable[[], None],
) -> dict[str, Ensemble]:
    """Return the ensemble of each target; the fold models that are missing are trained on one Ray session.

    Args:
        budget: time of all of them.
        on_outcome: called after each fold model.

    Raises:
        RunBusy: another process works on one of the runs.
        InputError: the time is too little for the least ensemble.
        typer.Exit: interrupted; what is trained is kept.
    """
    built = {}
    for place, (target, runs) in enumerate(by_target.items()):
        own = budget.part(1 / (len(by_target) - place), plans[target].time_limit)
        with lock_runs(runs):
            built[target] = _build(runs, plans[target], ray, own, on_outcome)
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


def _build(
    runs: Sequence[Run], plan: EnsembleConfig, ray: RaySession, budget: Budget, on_outcome: Callable[[], None]
) -> Ensemble:
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
    if budget.is_limited and ray.joins:  # what fits depends on the cluster's slots
        ray.connect(runs[0].config.resources, "joining the cluster …", console)
    left_s = budget.left_s() - (0.0 if ray.is_connected else RAY_START_S)
    timed = fit_into(sources, plan, chosen, left_s, partial(_slots, runs[0], ray))
    for text in timed.terms.cuts:
        note(f"for want of time: {text}")

    def connect(missing: Missing) -> None:
        for run in runs:
            ray.connect(run.config.resources, f"{missing}: starting Ray …", console)

    limit = None
    if budget.is_limited:
        time = FoldTime(budget.left_s, timed.vote_s)
        limit = FoldLimit(time, timed.job_s, partial(_slots, runs[0], ray), ray.close)

    def train(works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
        for outcome in ensure_all_trained(works, jobs, connect, limit):
            on_outcome()
            yield outcome

    terms = timed.terms if budget.is_limited else None
    members, folds = [each.id for each in timed.chosen], timed.plan.folds
    models = folds * timed.plan.seeds + (timed.plan.refit is not None)
    expected_s = None if timed.expected_s is None else timed.expected_s * models / folds
    try:
        with ray.ending_workers(), show_folds(console, members, folds, expected_s, models) as watcher:
            built = build_ensemble(sources, timed.plan, timed.chosen, train, watcher, terms)
    except KeyboardInterrupt:
        note("stopped; what is trained is kept: the same command goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    for text in built.description.get("cuts", ())[len(timed.terms.cuts) :]:
        note(f"for want of time: {text}")
    if sources[0].test is not None:
        combiner = EnsembleCombiner.from_dict(built.description)
        for text in column_notes(runs[0], combiner, sources[0].test.ids):
            note(f"to submit: {text}")
    return built


def _slots(run: Run, ray: RaySession) -> int:
    """Return the fold models that train at a time: as the session is, or would be on this machine."""
    resources = run.config.resources
    if ray.is_connected:
        return max(1, slots(resources.of_trial, None, resources.autoscale_to))
    return 1 if resources.of_trial.gpus else max(1, resources.of_trial.fit_into(float(os.cpu_count() or 1), 0.0))


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
