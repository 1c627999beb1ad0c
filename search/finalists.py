"""The finalists on every fold, as Ray tasks: a killed one goes on from its checkpoint, a finished one stays."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import ray

from cluster.resources import TrialResources
from results.ensembledir import EnsembleDir
from results.places import as_path
from search.foldmodel import FoldJob, FoldOutcome, FoldWork, make_ready
from search.training import short_reason

TASK_RETRIES = 3
"""Times that Ray starts a fold again whose worker died."""


def train_folds(works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
    """Train fold models in the connected Ray session; gives each outcome as it comes.

    A fold whose result is on disk costs a look. What runs when the iterator is left ends with the session: cancelling
    it by force in the moment in which a task ends aborts the driver (Ray 2.60).

    Args:
        works: by name of the run: what its folds share, and what each of them takes.
    """
    run_fold = ray.remote(_fold_task)
    tasks = {
        name: run_fold.options(num_cpus=takes.cpus, num_gpus=takes.gpus, max_retries=TASK_RETRIES)
        for name, (_, takes) in works.items()
    }
    shared = {name: ray.put(work) for name, (work, _) in works.items()}
    pending = {tasks[job.run].remote(shared[job.run], job): job for job in jobs}
    while pending:
        ready, _ = ray.wait(list(pending), num_returns=1)
        job = pending.pop(ready[0])
        try:
            yield ray.get(ready[0])
        except ray.exceptions.RayError as error:
            yield FoldOutcome(job.member, job.fold, None, error=f"its worker died: {short_reason(error)}")


def _fold_task(work: FoldWork, job: FoldJob) -> FoldOutcome:
    try:
        return make_ready(work, job)
    except Exception as error:
        with suppress(OSError):
            EnsembleDir(as_path(work.home)).member(job.member, job.fold).write_error(traceback.format_exc())
        return FoldOutcome(job.member, job.fold, None, error=short_reason(error))
