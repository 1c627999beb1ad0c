"""The Ray Tune searcher: Optuna proposes, the run's store is the record.

Ray's own OptunaSearch records stopped trials as COMPLETE, leaves non-finite ones RUNNING for ever and refuses
to continue a define-by-run study; each of the three misleads TPE or loses the search.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ray.tune.search import Searcher

from foldtune.results.records.ranking import Goal
from foldtune.search.faults.worker_deaths import WorkerRetryPolicy
from foldtune.search.tuning.proposals import Proposer
from foldtune.search.tuning.recorder import Recorder
from foldtune.search.workers.surroundings import SURROUNDINGS_KEY
from foldtune.search.workers.trainable import HALVINGS_KEY, TRIAL_KEY

T = TypeVar("T")


class StudySearcher(Searcher):  # type: ignore[misc]
    """Proposes configurations and records the outcomes.

    A trial whose worker died is proposed again and goes on from its checkpoint. Ray Tune's own retries are not used:
    they take a worker that died between two trials for two deaths of the second, and give it up.

    Args:
        goal: metric, the key of the best-so-far value in results, and its direction.
        limit: number of trials to start in this session, interrupted ones included.
        slots: returns the number of trials that may run now. No configuration is drawn ahead of a free slot,
            because each one drawn without its predecessors' results is drawn blind.
        retry_policy: decides whether a trial is retried after its worker died.
        on_failure: called with errors of the driver, which Ray would take for a trial's failure and retry.
        may_start: returns whether there is time for one more trial.
    """

    def __init__(
        self,
        proposer: Proposer,
        recorder: Recorder,
        goal: Goal,
        *,
        limit: int,
        slots: Callable[[], int],
        retry_policy: WorkerRetryPolicy,
        on_failure: Callable[[Exception], None],
        may_start: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(metric=goal.metric, mode=goal.mode)
        self._proposer = proposer
        self._recorder = recorder
        self._remaining = limit
        self._slots = slots
        self._retry_policy = retry_policy
        self._on_failure = on_failure
        self._may_start = may_start
        self._live: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Return the configuration of Ray's next trial; None without a free slot, FINISHED once no trial can follow."""
        self._guarded(self._recorder.catch_up)
        if self._recorder.stop_reason:
            return str(Searcher.FINISHED)
        if self._remaining <= 0 or not self._may_start():
            # The worker of a running trial may yet die and leave it to be proposed again.
            return None if self._live else str(Searcher.FINISHED)
        # One trial may always wait for room: Ray Tune blocks for minutes where nothing runs and nothing is proposed.
        if len(self._live) >= max(1, self._slots()):
            return None
        key = self._guarded(self._proposer.next)
        if key is None:
            return str(Searcher.FINISHED)
        self._remaining -= 1
        self._live[trial_id] = key
        halvings = self._retry_policy.halvings(key)
        return {TRIAL_KEY: key, HALVINGS_KEY: halvings} if halvings else {TRIAL_KEY: key}

    def on_trial_result(self, trial_id: str, result: Mapping[str, Any]) -> None:
        """Report one epoch to the study."""
        key, value = self._live.get(trial_id), result.get(self.metric)
        if key is None or value is None:
            return
        self._guarded(lambda: self._recorder.report(key, int(result["epoch"]), value))

    def on_trial_complete(self, trial_id: str, result: Mapping[str, Any] | None = None, error: bool = False) -> None:
        """Record the outcome; an id that is not ours, or was recorded before, is ignored."""
        key = self._live.pop(trial_id, None)
        if key is None:
            return
        self._guarded(lambda: self._on_worker_death(key) if error else self._recorder.finish(key, result or {}))

    def _on_worker_death(self, key: str) -> None:
        epoch = self._recorder.stored_epochs(key)
        if self._retry_policy.should_retry(key, epoch):
            self._proposer.repeat(key)
            self._remaining += 1
            self._recorder.record_worker_death(key, epoch, self._retry_policy.reason(key))
        else:
            policy = self._retry_policy
            result = {"error": policy.failure_message(key), "details": policy.details(key)}
            self._recorder.finish(key, {**result, SURROUNDINGS_KEY: not policy.is_trials_own(key)})

    def _guarded(self, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except Exception as error:
            self._on_failure(error)
            return None

    def __getstate__(self) -> dict[str, Any]:
        # Ray pickles the searcher into its snapshots, which nobody reads back.
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study and the store are already on disk."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: a resumed search is a new Tuner on the same study and store."""
