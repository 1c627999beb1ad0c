"""Fold models as Ray tasks: finished ones are kept, the others trained; a killed one resumes from its checkpoint."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray

from foldtune.cluster.resources import TrialResources
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.storage.paths import as_path
from foldtune.search.planning.fold_time import FoldTime
from foldtune.search.workers.fold_job import FoldJob, FoldModelStatus, FoldOutcome, FoldWork
from foldtune.search.workers.fold_model import ensure_trained, status
from foldtune.search.workers.training import short_reason, whole_reason

POLL_S = 0.5
"""Seconds after which the time that is left is compared again."""
TASK_RETRIES = 3
"""Times that Ray restarts a fold whose worker died."""


@dataclass(frozen=True)
class Missing:
    """Numbers of fold models that are not finished.

    Attributes:
        counts: number by status, without zeros.
        total: number of all fold models, finished ones too.
        race: whether they are those of the finalists' race.
    """

    counts: Mapping[FoldModelStatus, int]
    total: int
    race: bool

    def __str__(self) -> str:
        """Return one line: "7 of 15 fold models to train, 3 to reuse"."""
        (first, number), *others = ((each, self.counts[each]) for each in FoldModelStatus if each in self.counts)
        models = "fold models of the race" if self.race else "fold models"
        return ", ".join([f"{number} of {self.total} {models} {first.value}", *(f"{n} {e.value}" for e, n in others)])


@dataclass(frozen=True)
class FoldLimit:
    """The time of fold models, and what of them is started in it.

    Attributes:
        forecast_s: returns the seconds of a fold model.
        slots: returns the fold models that may train now.
        end: ends those that run, once the time is over.
    """

    time: FoldTime
    forecast_s: Callable[[FoldJob], float]
    slots: Callable[[], int]
    end: Callable[[], None]


def ensure_all_trained(
    works: Mapping[str, tuple[FoldWork, TrialResources]],
    jobs: Sequence[FoldJob],
    connect: Callable[[Missing], None],
    limit: FoldLimit | None = None,
) -> Iterator[FoldOutcome]:
    """Give the outcome of each fold model: those on disk first and without Ray, the others in the order they end.

    Args:
        works: as of `train_folds`.
        connect: connects to Ray; called once, where fold models are not finished.
        limit: as of `train_folds`.
    """
    missing: dict[FoldJob, FoldModelStatus] = {}
    for job in jobs:
        work, _ = works[job.run]
        found = status(work, job)
        if isinstance(found, FoldModelStatus):
            missing[job] = found
        else:
            yield found
    if missing and not (limit and limit.time.is_over()):
        connect(Missing(Counter(missing.values()), len(jobs), race=not all(job.model for job in jobs)))
        yield from train_folds(works, list(missing), limit)


def train_folds(
    works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob], limit: FoldLimit | None = None
) -> Iterator[FoldOutcome]:
    """Train fold models in the connected Ray session; give each outcome as it ends.

    Tasks that run when the iterator is left end with the session: cancelling one by force in the moment in which it
    ends aborts the driver (Ray 2.60).

    Args:
        works: by name of the run, what its folds share, and the resources of each of them.
        limit: time in which they have to end; those that cannot, and what else their member lacks, are left out.
    """
    run_fold = ray.remote(_fold_task)
    tasks = {
        name: run_fold.options(num_cpus=each.cpus, num_gpus=each.gpus, max_retries=TASK_RETRIES)
        for name, (_, each) in works.items()
    }
    shared = {name: ray.put(work) for name, (work, _) in works.items()}
    waiting = list(jobs)
    pending: dict[Any, FoldJob] = {}
    while True:
        while waiting and (limit is None or len(pending) < max(1, limit.slots())):
            job = waiting.pop(0)
            if limit is not None and not limit.time.may_start(limit.forecast_s(job)):
                waiting = [each for each in waiting if each.member != job.member]
                continue
            pending[tasks[job.run].remote(shared[job.run], job)] = job
        if not pending:
            return
        ready, _ = ray.wait(list(pending), num_returns=1, timeout=None if limit is None else POLL_S)
        if limit is not None and limit.time.is_over():
            limit.end()
            return
        if not ready:
            continue
        job = pending.pop(ready[0])
        try:
            outcome = ray.get(ready[0])
            if limit is not None and not outcome.reused and outcome.error is None:
                limit.time.note(limit.forecast_s(job), outcome.seconds)
            yield outcome
        except ray.exceptions.RayError as error:
            reason = f"its worker died: {short_reason(error)}"
            yield FoldOutcome(job.member, job.fold, None, error=reason, seed=job.seed)


def _fold_task(work: FoldWork, job: FoldJob) -> FoldOutcome:
    begun_s = time.monotonic()
    try:
        return replace(ensure_trained(work, job), seconds=time.monotonic() - begun_s)
    except Exception as error:
        with suppress(OSError):
            EnsembleDir(as_path(work.home)).member(job.member, job.fold, job.seed).write_error(whole_reason(error))
        return FoldOutcome(job.member, job.fold, None, error=short_reason(error), seed=job.seed)
