"""Post-processing of finished trials, fitted to their stored scores: nothing is retrained."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from foldtune.errors import InputError, WorkError
from foldtune.results.records.ranking import Goal, finalists
from foldtune.results.records.trials import TrialRecord
from foldtune.results.runs.trial_dir import TrialDir
from foldtune.search.assess.held_out import groups_by_id, groups_of
from foldtune.search.assess.stored_estimate import check_trial_scores
from foldtune.search.runs.postprocessing import judged_scores
from foldtune.search.runs.run import Run
from foldtune.search.runs.stored_task import resolve_goal
from foldtune.search.voting.evaluation import metric_of
from foldtune.signals import ignore_interrupts
from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.tasks import Task

WORTH_PROCESSES_S = 6.0
"""Work left from which on processes pay for their start, a second or two."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Refit:
    """The result of fitting the post-processing of a trial, by one metric.

    Attributes:
        before: with the trial's own post-processing; a tuned one cross-fitted for the run's metric.
        tuned: cross-fitted: each part of the rows with a fit on the other parts. The figure to believe.
        fitted: on the rows of the fit; it flatters.
        postprocess: fitted to all rows, for new ones.
    """

    trial_id: str
    before: float
    tuned: float
    fitted: float
    postprocess: Mapping[str, Any]


@dataclass(frozen=True)
class _Job:
    """The part that the fits of all trials share, small enough to be sent to a process."""

    task: Task
    metric: str
    own_metric: str
    groups: Mapping[str, str] | None

    def __call__(self, directory: TrialDir, own: Mapping[str, Any] | str | None) -> Refit | None:
        """Refit one trial, None where it has no scores; they are read here, so that they never meet another's."""
        stored = directory.read_scores()
        if stored is None or stored.targets is None:
            return None
        check_trial_scores(self.task, stored, directory.scores_path)
        judged = judged_scores(self.task, stored)
        splits = make_splits(self.task.strata(judged.targets), groups_of(self.groups, stored.ids[judged.rows]))

        def value(answers: tuple[npt.NDArray[Any], npt.NDArray[Any]]) -> float:
            return metric_of(self.task, self.metric, *answers, judged.targets)

        tuned = value(judged.cross_fitted(self.metric, splits))
        if not isinstance(own, str):
            before = value(judged.predict(own))
        elif self.metric == self.own_metric:
            before = tuned
        else:
            before = value(judged.cross_fitted(self.own_metric, splits))
        postprocess = judged.fit(self.metric)
        return Refit(directory.trial_id, before, tuned, value(judged.predict(postprocess)), postprocess)


def refit(
    run: Run,
    metric: str | None = None,
    trial_id: str | None = None,
    *,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[Refit]:
    """Refit one trial, or all that finished with scores; the best cross-fitted one first.

    Args:
        processes: maximum number of processes, one trial at a time each; they are started only for long work.

    Raises:
        InputError: a metric that the task does not have or that post-processing cannot change; no stored scores.
        TrialNotFound: no such trial.
        WorkError: a process died.
    """
    metric = metric or run.goal.metric
    goal = check_metric(run, metric)
    records = _records(run, trial_id)
    job = _Job(run.task, metric, run.goal.metric, groups_by_id(run))
    found = []
    for done, each in enumerate(_refits(job, run, records, processes), start=1):
        if each is not None:
            found.append(each)
        if progress is not None:
            progress(done, len(records))
    if not found:
        raise InputError(f"run {run.store.name!r} has no finished trial with stored scores")
    place = {record.trial_id: number for number, record in enumerate(records)}
    return sorted(found, key=lambda each: (-goal.sign * each.tuned, place[each.trial_id]))


def tuned_trials(run: Run, metric: str) -> set[str]:
    """Return the ids of the trials whose own post-processing is tuned for this metric: a refit does not change them."""
    if metric != run.goal.metric:
        return set()
    return {each.trial_id for each in run.store.trials() if isinstance(each.config.get("postprocess"), str)}


def check_metric(run: Run, metric: str) -> Goal:
    """Return the metric with its direction.

    Raises:
        InputError: a metric that the task does not have or that post-processing cannot change.
    """
    goal = resolve_goal(run.task, metric)
    if metric not in run.task.tunable_metrics:
        valid = ", ".join(name for name in run.task.metrics if name in run.task.tunable_metrics)
        raise InputError(f"--metric {metric}: post-processing does not change it (it changes: {valid})")
    return goal


def _records(run: Run, trial_id: str | None) -> list[TrialRecord]:
    if trial_id is not None:
        run.store.find_trial(trial_id)
    records = run.store.trials()
    ranked = finalists(records, run.goal, len(records))
    return [record for record in ranked if trial_id in (None, record.trial_id)]


def _refits(job: _Job, run: Run, records: list[TrialRecord], processes: int) -> Iterator[Refit | None]:
    """Yield the refit of each trial; in processes if the first one shows that this takes long."""
    work = [(run.store.trial(record.trial_id), record.config.get("postprocess")) for record in records]
    if not work:
        return
    begun = time.perf_counter()
    yield job(*work[0])
    workers = min(processes, len(work) - 1)
    if workers < 2 or (time.perf_counter() - begun) * (len(work) - 1) < WORTH_PROCESSES_S:
        for each in work[1:]:
            yield job(*each)
        return
    yield from _in_processes(job, work[1:], workers)


def _in_processes(job: _Job, work: list[tuple[TrialDir, Any]], workers: int) -> Iterator[Refit | None]:
    # loky starts fresh interpreters: no fork of a process whose threads may hold locks. They leave Ctrl-C to this
    # process, and end soon after it where it is killed.
    from joblib.externals.loky import ProcessPoolExecutor, as_completed
    from joblib.externals.loky.process_executor import BrokenProcessPool

    pool = ProcessPoolExecutor(workers, timeout=30, initializer=_start, initargs=(job,), env=KEEP_MEMORY)
    try:
        for future in as_completed([pool.submit(_run, *each) for each in work]):
            yield future.result()
    except BrokenProcessPool as error:
        raise WorkError(f"one of {workers} fitting processes died (out of memory?)") from error
    finally:
        pool.shutdown(wait=True, kill_workers=True)


KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**30), "MALLOC_TRIM_THRESHOLD_": str(2**32)}
"""Of glibc: large arrays come and go by the hundred, and fresh pages for each cost a quarter of the time."""
_JOB: list[_Job] = []  # of a fitting process, which gets it once instead of with every trial


def _start(job: _Job) -> None:
    ignore_interrupts()
    _JOB[:] = [job]


def _run(directory: TrialDir, own: Mapping[str, Any] | str | None) -> Refit | None:
    return _JOB[0](directory, own)
