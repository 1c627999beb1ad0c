"""Runs a search: Ray Tune holds the trials, Optuna proposes them, ASHA stops them, the store records them."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, TypeVar

import optuna
import ray
from ray import tune
from ray.tune import Callback

from foldtune.cluster.ray_internals import no_secrets_in_runtime_env
from foldtune.cluster.resources import slots
from foldtune.errors import WorkError
from foldtune.files import scratch_folder
from foldtune.results.records.identity import read_identity
from foldtune.results.records.proposals_file import read_proposals
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import TrialRecord
from foldtune.results.runs.store import RunStore
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.secrets import expanded
from foldtune.search.data.dataset import Labelled
from foldtune.search.faults.head_monitor import head_monitor, listens
from foldtune.search.faults.watchdog import Watchdog
from foldtune.search.faults.worker_deaths import WorkerRetryPolicy, memory_deaths, noted_cause
from foldtune.search.planning.budget import Budget
from foldtune.search.planning.search_time import SearchTime
from foldtune.search.tuning.asha import FIFO, ResumableASHA
from foldtune.search.tuning.monitor import Monitor, Observer, SearchState
from foldtune.search.tuning.proposals import SearchStart
from foldtune.search.tuning.recorder import Recorder, stored_trial
from foldtune.search.tuning.searcher import StudySearcher
from foldtune.search.tuning.stopping import SearchStopper
from foldtune.search.tuning.study import ensure_default, open_study, reconcile
from foldtune.search.workers.trainable import TrialTrainable
from foldtune.search.workers.training import TrialWork, made_of, short_reason
from foldtune.spaces import Space

T = TypeVar("T")

SLOTS_PERIOD_S = 1.0
"""Time for which the number of free slots is kept, which the searcher needs at every event, and the plan of time."""


@dataclass(frozen=True)
class SearchOutcome:
    """How a search ended.

    Attributes:
        interrupted: whether the user interrupted it before its last trial ended; `--resume` continues it.
        stop_reason: reason of an early end after many failures, else None.
        timed_out: whether its time ended it before its last trial.
    """

    interrupted: bool
    stop_reason: str | None
    timed_out: bool = False


@dataclass(frozen=True)
class Search:
    """A search ready to run in a connected Ray session.

    Attributes:
        resumed: the run was started before; otherwise it must not join another run's study.
        time: time that it has; without a limit by default.
        on_progress: called after each epoch (None) and with each finished trial.
    """

    config: RunConfig
    store: RunStore
    space: Space
    labelled: Labelled
    goal: Goal
    resumed: bool = False
    time: SearchTime = field(default_factory=lambda: SearchTime(Budget(), 1))
    on_progress: Callable[[TrialRecord | None], None] = lambda record: None

    def remaining(self) -> int:
        """Return the number of trials that have not ended yet. Where it is 0, `run` needs no Ray session."""
        ended = sum(record.status != "RUNNING" for record in self.store.trials())
        return max(0, self.config.search.num_samples - ended)

    def run(self, observer: Observer) -> SearchOutcome:
        """Train until every trial has ended, counting those of earlier sessions; or until interrupted.

        Raises:
            WorkError: Ray gave up.
            ResultsError: the run's folder cannot be written or read.
        """
        stored = self.store.trials()
        start = SearchStart(self.config.search, self.space, read_proposals(self.store.root))
        study = self._study(stored, start.first)
        plan = cached_for(SLOTS_PERIOD_S, lambda: self.time.plan(self.store.trials()))
        monitor = Monitor(self._state(stored), observer, partial(self._on_epoch, plan))
        recorder = self._recorder(study, monitor, plan)
        trial_scheduler = self._trial_scheduler()
        unfinished = self._restore(stored, study, recorder, trial_scheduler)
        recorder.refresh()
        self.time.plan(stored)  # again, by the slots of the session that is connected now
        stopper = SearchStopper(observer.on_interrupt, self.time.is_over)
        watchdog = Watchdog(self.config.search.trial_timeout_s, stopper.stop_all)
        if remaining := self.remaining():
            searcher = StudySearcher(
                start.proposer(study, recorder, stored, unfinished),
                recorder,
                self.goal,
                limit=remaining,
                slots=cached_for(SLOTS_PERIOD_S, self._slots),
                retry_policy=WorkerRetryPolicy(
                    lambda key: watchdog.cause(key) or noted_cause(trial_scheduler.dead[key].error_file)
                ),
                on_failure=stopper.fail,
                may_start=self.time.may_start,
            )
            with stopper.on_signals():
                self._tune(searcher, remaining, trial_scheduler, [monitor, watchdog], stopper)
            if stopper.failure is not None:
                raise stopper.failure
            if stopper.timed_out:
                self._prune_running(recorder)
            recorder.refresh()
        interrupted = stopper.interrupted and self.remaining() > 0
        timed_out = self.remaining() > 0 and not interrupted and recorder.stop_reason is None
        return SearchOutcome(interrupted, recorder.stop_reason, timed_out)

    def _prune_running(self, recorder: Recorder) -> None:
        for record in readable(self.store.trials()):
            if record.status == "RUNNING":
                recorder.prune(record.trial_id, "the time limit was reached")

    def _on_epoch(self, plan: Callable[[], None]) -> None:
        if self.time.needs_plan:
            plan()
        self.on_progress(None)

    def _finished(self, monitor: Monitor, plan: Callable[[], None], record: TrialRecord) -> None:
        running = monitor.state.running.get(record.trial_id)
        if running is not None and record.fit_time_s is not None:
            self.time.note_overhead(time.monotonic() - running.started_s - record.fit_time_s)
        if self.time.is_bound:
            plan()
        monitor.finished(record)
        self.on_progress(record)

    def _study(self, stored: Sequence[TrialRecord], first: Mapping[str, Any]) -> optuna.Study:
        url, identity = self.config.search.study_storage, read_identity(self.store.root)
        run_id = None if identity is None else identity.id
        study = open_study(
            self.config.name,
            self.store.study_path,
            url=url and expanded(url, "search.study_storage"),
            mode=self.goal.mode,
            resume=self.resumed,
            run_id=run_id,
        )
        outcomes = [stored_trial(record, self.store.trial(record.trial_id), self.goal) for record in readable(stored)]
        reconcile(study, outcomes, self.space.distributions(), run_id)
        if not stored:
            ensure_default(study, first)
        return study

    def _restore(
        self,
        stored: Sequence[TrialRecord],
        study: optuna.Study,
        recorder: Recorder,
        trial_scheduler: FIFO | ResumableASHA,
    ) -> list[str]:
        """Replay the stored epochs in ASHA, and end the trials that had trained to their end before the driver ended.

        A trial continued after each epoch that the study holds; after a last one that it lacks, ASHA decides now.

        Returns:
            Ids of the trials to resume.
        """
        unfinished = []
        known = study.get_trials(deepcopy=False)
        for record in sorted(readable(stored), key=lambda record: (record.status == "RUNNING", record.number)):
            epochs = stored_trial(record, self.store.trial(record.trial_id), self.goal).epochs
            asha = trial_scheduler if isinstance(trial_scheduler, ResumableASHA) else None
            stop = asha is not None and asha.replay(record.trial_id, epochs)
            if record.status != "RUNNING":
                continue
            trained = record.epochs >= self.config.search.max_epochs
            if trained or (stop and record.epochs not in known[record.number].intermediate_values):
                value = record.value(self.goal.metric)
                recorder.finish(record.trial_id, {self.goal.metric: value, "finished": trained})
            else:
                unfinished.append(record.trial_id)
        return unfinished

    def _state(self, stored: Sequence[TrialRecord]) -> SearchState:
        search = self.config.search
        state = SearchState(self.goal, search.num_samples, search.max_epochs, time=self.time)
        for record in stored:
            if record.status != "RUNNING":
                state.count(record)
        state.finished_before = state.finished
        return state

    def _recorder(self, study: optuna.Study, monitor: Monitor, plan: Callable[[], None]) -> Recorder:
        return Recorder(
            self.store,
            study,
            self.goal,
            keep_weights=self.config.ensemble.top + 2,
            max_failed_trials=self.config.search.max_failed_trials,
            on_finished=partial(self._finished, monitor, plan),
            made_of=partial(made_of, self._work()),
        )

    def _trial_scheduler(self) -> FIFO | ResumableASHA:
        search = self.config.search
        if search.trial_scheduler == "none":
            return FIFO()
        return ResumableASHA(
            self.goal,
            max_epochs=search.max_epochs,
            grace_epochs=search.grace,
            reduction_factor=search.reduction_factor,
            brackets=search.brackets,
            seed=search.seed,
        )

    def _slots(self) -> int:
        resources = self.config.resources
        return slots(resources.of_trial, resources.max_concurrent_trials, resources.autoscale_to)

    def _work(self) -> TrialWork:
        return TrialWork.of(self.store.address, self.labelled, self.goal.metric, self.config)

    def _head_lost_message(self) -> str:
        return (
            "the head of the Ray cluster is gone, and the search with it; what finished is kept in "
            f"{self.store.root}: go on with the same command and --resume, on a cluster or without --address"
        )

    def _trainable(self) -> Any:
        return tune.with_parameters(TrialTrainable, work=pickle.dumps(self._work()))

    def _tune(
        self,
        searcher: StudySearcher,
        num_samples: int,
        trial_scheduler: FIFO | ResumableASHA,
        callbacks: list[Callback],
        stopper: SearchStopper,
    ) -> None:
        trial = self.config.resources.of_trial
        trainable = tune.with_resources(self._trainable(), {"cpu": trial.cpus, "gpu": trial.gpus})
        # The searcher holds back by itself. Ray would start one worker at a time, the next once that one is up.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(num_samples)
        with scratch_folder("tune") as scratch:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=searcher, scheduler=trial_scheduler, num_samples=-1, reuse_actors=True
                ),
                run_config=tune.RunConfig(
                    name=self.store.name,
                    storage_path=str(scratch),
                    callbacks=callbacks,
                    stop=stopper,
                    # foldtune's own checkpoints are the record; a class Trainable would make one more at its end.
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=0),  # the searcher proposes a lost trial again
                    verbose=0,
                ),
            )
            head = ray.get_runtime_context().gcs_address
            try:
                with head_monitor(head, self._head_lost_message()), memory_deaths(), no_secrets_in_runtime_env():
                    tuner.fit()
            except Exception as error:
                if not listens(head):
                    raise WorkError(self._head_lost_message()) from error
                if stopper.failure is None:
                    reason = short_reason(error)
                    raise WorkError(f"Ray gave the search up: {reason}; the same command and --resume go on") from error


def cached_for(period_s: float, compute: Callable[[], T]) -> Callable[[], T]:
    """Return a function that calls `compute` at most once in each period of `period_s` seconds, > 0."""

    @lru_cache(maxsize=1)
    def in_period(period: int) -> T:
        return compute()

    return lambda: in_period(int(time.monotonic() // period_s))


def readable(stored: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the trials whose files could be read; a damaged one shows in the leaderboard and nowhere else."""
    return [record for record in stored if record.is_readable]
