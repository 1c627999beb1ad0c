"""Runs a search: Ray Tune holds the trials, Optuna proposes them, ASHA stops them, the store records them."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import optuna
from ray import tune
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from cluster.resources import TrialResources, slots
from results.records import TrialRecord
from results.store import RunStore
from search.asha import ResumableASHA
from search.config import RunConfig
from search.dataset import Labelled
from search.monitor import Monitor, Observer, SearchState
from search.recorder import Goal, Recorder, outcome, values_by_epoch
from search.searcher import StudySearcher
from search.study import open_study, reconcile
from search.trainable import TrialTrainable, TrialWork
from spaces import Space

WORKER_DEATHS = 3
"""Times that a trial's worker may die before the trial is a failure."""


@dataclass(frozen=True)
class SearchEnd:
    """How a search ended.

    Attributes:
        interrupted: by the user; `--resume` goes on.
        stop_reason: why it gave up early, else None.
    """

    interrupted: bool
    stop_reason: str | None


@dataclass(frozen=True)
class Search:
    """A search ready to run in a connected Ray session."""

    config: RunConfig
    store: RunStore
    space: Space
    labelled: Labelled
    goal: Goal

    def run(self, observer: Observer) -> SearchEnd:
        """Train until every trial has ended, counting those of earlier sittings; or until interrupted."""
        config, stored = self.config, self.store.trials()
        study = self._study()
        done = [record for record in stored if record.status != "RUNNING"]
        interrupted = [record for record in stored if record.status == "RUNNING"]
        self._reconcile(study, done, interrupted)
        monitor = Monitor(self._state(done), observer)
        recorder = self._recorder(study, monitor)
        trial = TrialResources(config.resources.cpus_per_trial, config.resources.gpus_per_trial)
        searcher = StudySearcher(
            study,
            self.space,
            recorder,
            metric=self.goal.metric,
            mode=self.goal.mode,
            limit=config.search.num_samples - len(done),
            slots=lambda: slots(trial, config.resources.max_concurrent_trials),
            interrupted=[record.trial_id for record in interrupted],
        )
        work = TrialWork(
            root=str(self.store.root),
            labelled=self.labelled,
            metric=self.goal.metric,
            epochs=config.search.max_epochs,
            seed=config.search.seed,
            loader_workers=config.resources.loader_workers,
        )
        stopped = self._tune(work, trial, searcher, self._trial_scheduler(stored), monitor)
        recorder.refresh()
        return SearchEnd(interrupted=stopped, stop_reason=recorder.stop_reason)

    def _study(self) -> optuna.Study:
        search = self.config.search
        study = open_study(
            self.config.name,
            self.store.study_path,
            url=search.study_storage,
            mode=self.goal.mode,
            seed=search.seed,
            startup_trials=search.startup_trials,
        )
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(self.space.default())
        return study

    def _reconcile(
        self, study: optuna.Study, done: Sequence[TrialRecord], interrupted: Sequence[TrialRecord]
    ) -> None:
        finished = {
            record.number: outcome(record, self.store.trial(record.trial_id), self.goal) for record in done
        }
        reconcile(study, finished, {record.number for record in interrupted})

    def _state(self, done: Sequence[TrialRecord]) -> SearchState:
        state = SearchState(
            self.goal,
            self.config.search.num_samples,
            self.config.search.max_epochs,
            finished_before=len(done),
        )
        for record in done:
            state.count(record)
        return state

    def _recorder(self, study: optuna.Study, monitor: Monitor) -> Recorder:
        return Recorder(
            self.store,
            study,
            self.goal,
            modes=self.labelled.task.metrics,
            keep_weights=self.config.ensemble.top + 2,
            max_failed_trials=self.config.search.max_failed_trials,
            on_finished=monitor.finished,
            why_died=monitor.why_died,
        )

    def _trial_scheduler(self, stored: Sequence[TrialRecord]) -> TrialScheduler:
        search = self.config.search
        if search.trial_scheduler == "none":
            return FIFOScheduler()
        asha = ResumableASHA(
            self.goal.metric,
            self.goal.mode,
            max_epochs=search.max_epochs,
            grace_epochs=search.grace,
            reduction_factor=search.reduction_factor,
        )
        for record in stored:
            values = values_by_epoch(self.store.trial(record.trial_id), self.goal)
            asha.replay(record.trial_id, sorted(values.items()))
        return asha

    def _tune(
        self,
        work: TrialWork,
        trial: TrialResources,
        searcher: StudySearcher,
        trial_scheduler: TrialScheduler,
        monitor: Monitor,
    ) -> bool:
        trainable = tune.with_resources(
            tune.with_parameters(TrialTrainable, work=work), {"cpu": trial.cpus, "gpu": trial.gpus}
        )
        with tempfile.TemporaryDirectory(prefix="foldtune-tune-") as scratch, _interrupts() as seen:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=searcher,
                    scheduler=trial_scheduler,
                    num_samples=work_samples(searcher),
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    name=Path(self.store.root).name,
                    storage_path=scratch,
                    callbacks=[monitor],
                    # foldtune's own checkpoints are the record; a class Trainable would make one more at its end.
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=WORKER_DEATHS),
                    verbose=0,
                ),
            )
            tuner.fit()
        return seen.interrupted


def work_samples(searcher: StudySearcher) -> int:
    """Trials of this sitting; Ray wants at least one, and the searcher says FINISHED where none is left."""
    return max(1, searcher.limit)


class _Seen:
    interrupted = False


@contextmanager
def _interrupts() -> Iterator[_Seen]:
    """Turn SIGINT and SIGTERM into Ray Tune's clean stop, and remember that one came.

    Ray Tune stops cleanly on SIGUSR1 whatever it does about SIGINT, and does not know SIGTERM.
    """
    seen = _Seen()

    def stop(signum: int, frame: object) -> None:
        seen.interrupted = True
        signal.raise_signal(signal.SIGUSR1)

    names = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, stop) for number in names}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
