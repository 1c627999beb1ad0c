"""The finalists on every fold: a finished one stays, the others are Ray tasks; a killed one goes on from its
checkpoint."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import ray

from foldtune.cluster.resources import TrialResources
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.storage.paths import as_path
from foldtune.search.workers.fold_model import FoldJob, FoldOutcome, FoldWork, Lack, look, make_ready
from foldtune.search.workers.training import short_reason

TASK_RETRIES = 3
"""Times that Ray starts a fold again whose worker died."""


@dataclass(frozen=True)
class Missing:
    """Fold models that are not ready.

    Attributes:
        counts: how many by what they lack; what none lacks is left out.
        of: fold models looked at, ready ones too.
        race: they are those that finalists race over.
    """

    counts: Mapping[Lack, int]
    of: int
    race: bool

    def __str__(self) -> str:
        """In words: "7 of 15 fold models to train, 3 to take over"."""
        (first, number), *others = ((each, self.counts[each]) for each in Lack if each in self.counts)
        models = "fold models of the race" if self.race else "fold models"
        return ", ".join([f"{number} of {self.of} {models} {first.value}", *(f"{n} {e.value}" for e, n in others)])


def make_all_ready(
    works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob], connect: Callable[[Missing], None]
) -> Iterator[FoldOutcome]:
    """Each fold model's outcome: those on disk first and without Ray, the others as `train_folds` gives them.

    Args:
        works: as of `train_folds`.
        connect: connects to Ray; called where something is left to do, with how much.
    """
    missing: dict[FoldJob, Lack] = {}
    for job in jobs:
        work, _ = works[job.run]
        found = look(work, job)
        if isinstance(found, Lack):
            missing[job] = found
        else:
            yield found
    if missing:
        connect(Missing(Counter(missing.values()), len(jobs), race=not all(job.model for job in jobs)))
        yield from train_folds(works, list(missing))


def train_folds(works: Mapping[str, tuple[FoldWork, TrialResources]], jobs: Sequence[FoldJob]) -> Iterator[FoldOutcome]:
    """Train fold models in the connected Ray session; gives each outcome as it comes.

    What runs when the iterator is left ends with the session: cancelling it by force in the moment in which a task ends
    aborts the driver (Ray 2.60).

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
