"""The driver's record of a search: every outcome goes to the store first, then to Optuna and the leaderboard."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna

from foldtune.errors import RunCorrupt
from foldtune.results.records.measured_file import read_measured
from foldtune.results.records.ranking import Goal, finalists
from foldtune.results.records.trials import Status, TrialRecord
from foldtune.results.runs.store import RunStore
from foldtune.results.runs.trial_dir import TrialDir
from foldtune.results.storage.files import is_file, remove_file
from foldtune.search.runs.formats import with_format
from foldtune.search.runs.pretrained import with_weights
from foldtune.search.tuning.study import StoredTrial, record_end, report
from foldtune.search.workers.surroundings import SURROUNDINGS_KEY

MANY_TRIALS = 100
"""Trials from which on the leaderboard is not written anew after each one."""
REFRESH_SHARE = 0.1
"""Part of the driver's time that goes into leaderboards of many trials."""


class Recorder:
    """Starts and finishes trials on disk. One object in the driver; workers write epochs only.

    Args:
        keep_weights: finished trials whose weights stay on disk: the best ones.
        max_failed_trials: failures in a row after which no more trials are started.
        on_finished: called with each record after it is written.
        made_of: digests of what a trial of a configuration is trained on, None for none.
    """

    def __init__(
        self,
        store: RunStore,
        study: optuna.Study,
        goal: Goal,
        *,
        keep_weights: int,
        max_failed_trials: int,
        on_finished: Callable[[TrialRecord], None],
        made_of: Callable[[Mapping[str, Any]], Mapping[str, str]] | None = None,
    ) -> None:
        self._store = store
        self._study = study
        self._goal = goal
        self._keep_weights = keep_weights
        self._max_failed_trials = max_failed_trials
        self._on_finished = on_finished
        self._made_of = made_of
        self._weights = store.pretrained.read()
        measured = read_measured(store.root)
        self._formats = None if measured is None else measured.formats
        self._failures: list[TrialRecord] = []
        self._stale = False
        self._refresh_at_s = 0.0
        self.stop_reason: str | None = None

    def start(self, number: int, params: Mapping[str, Any], config: Mapping[str, Any]) -> str:
        """Write a new trial's configuration; return its id, Optuna's number in four digits."""
        key = f"{number:04d}"
        directory = self._store.trial(key)
        if is_file(directory.config_path):
            raise RunCorrupt(f"{directory.root} exists, and the study proposes its number again: nothing was changed")
        config = with_format(with_weights(config, self._weights), self._formats)
        made_of = None if self._made_of is None else self._made_of(config)
        directory.write_config(number=number, params=params, config=config, made_of=made_of)
        return key

    def report(self, key: str, epoch: int, value: float) -> None:
        """Report an epoch's best-so-far value to the study."""
        report(self._study, int(key), epoch, value)

    def stored_epochs(self, key: str) -> int:
        """Return the number of stored epochs of a trial; the last one may not have reached the driver."""
        return max((row.epoch for row in self._store.trial(key).epochs()), default=0)

    def record_worker_death(self, key: str, epoch: int, reason: str) -> None:
        """Record that a trial's worker died after an epoch and the trial is retried."""
        self._store.trial(key).append_death(epoch, reason)

    def finish(self, key: str, result: Mapping[str, Any]) -> None:
        """Write a trial's outcome, report it to the study, refresh the leaderboard, remove unneeded weights."""
        directory = self._store.trial(key)
        status, error = self._status(result)
        if result.get("details") and not is_file(directory.error_path):  # the worker's own traceback has more
            directory.write_error(str(result["details"]))
        self._end(key, status, error, surroundings=status == "FAIL" and bool(result.get(SURROUNDINGS_KEY)))

    def prune(self, key: str, reason: str) -> None:
        """End a trial early for a reason that is not its own, with what it has trained; else as `finish`."""
        self._end(key, "PRUNED", reason, surroundings=False)

    def _end(self, key: str, status: Status, error: str | None, *, surroundings: bool) -> None:
        directory = self._store.trial(key)
        directory.finish(status, error=error, surroundings=surroundings)
        if not surroundings:  # else it goes on from there
            remove_file(directory.checkpoint_path)
        record = directory.record()
        if record is None:
            raise ValueError(f"trial {key} was never started")
        record_end(self._study, stored_trial(record, directory, self._goal))
        self._count(record)
        self._stale = True
        self.catch_up()
        self._on_finished(record)

    def _status(self, result: Mapping[str, Any]) -> tuple[Status, str | None]:
        if result.get("error"):
            return "FAIL", str(result["error"])
        value = result.get(self._goal.metric)
        if value is None or not math.isfinite(value):
            return "FAIL", f"{self._goal.metric} is {value}"
        return ("COMPLETE" if result.get("finished") else "PRUNED"), None

    def _count(self, record: TrialRecord) -> None:
        if record.status != "FAIL":
            self._failures.clear()
            return
        self._failures.append(record)
        if len(self._failures) >= self._max_failed_trials:
            self.stop_reason = self._failure_summary()

    def _failure_summary(self) -> str:
        reason, share = common_reason([record.error or "" for record in self._failures])
        others = [record.params for record in self._store.trials() if record.status in ("COMPLETE", "PRUNED")]
        params = common_params([record.params for record in self._failures], others)
        shared = f"; all of them have {', '.join(params)}" if params else ""
        return f"{len(self._failures)} trials failed in a row; {share} of them with: {reason}{shared}"

    def catch_up(self) -> None:
        """Refresh where a trial has ended since; in a large run no more often than REFRESH_SHARE allows."""
        if self._stale and time.monotonic() >= self._refresh_at_s:
            self.refresh()

    def refresh(self) -> None:
        """Bring leaderboard.csv up to date and bound the weights on disk."""
        started_s = time.monotonic()
        self._store.write_leaderboard(self._goal)
        records = self._store.trials()
        best = finalists(records, self._goal, self._keep_weights)
        self._store.prune_weights(record.trial_id for record in best)
        self._stale = False
        took_s = time.monotonic() - started_s
        self._refresh_at_s = started_s + (took_s / REFRESH_SHARE if len(records) > MANY_TRIALS else 0.0)


def stored_trial(record: TrialRecord, directory: TrialDir, goal: Goal) -> StoredTrial:
    """Return a stored trial as the study needs it."""
    epochs = {row.epoch: row.best_metrics.get(goal.metric, math.nan) for row in directory.epochs()}
    return StoredTrial(record.number, record.status, record.params, epochs, record.metrics.get(goal.metric))


def reopen_failed(store: RunStore, *, every: bool) -> list[str]:
    """Reopen the trials that failed for their surroundings, with `every` all that failed; return their ids.

    They go on from their checkpoints, or start afresh. Those whose files cannot be read stay as they are. Only for the
    holder of the run's lock. Raises StorageError.
    """
    failed = [record for record in store.trials() if record.status == "FAIL" and record.is_readable]
    again = [record.trial_id for record in failed if every or record.surroundings]
    for trial_id in again:
        store.trial(trial_id).reopen()
    return again


MAX_SHOWN = 4
MIN_FAILED = 3
CHANCE = 0.01
"""Of values drawn at random, how often those of the failed trials may all lie above, or all below, the others'."""
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?")


def common_reason(reasons: Sequence[str]) -> tuple[str, int]:
    """Return the most frequent reason and its count; reasons that differ in numbers alone are one.

    >>> common_reason(["loss became nan at epoch 1", "out of memory", "loss became nan at epoch 3"])
    ('loss became nan at epoch 1', 2)
    """
    kinds = Counter(_NUMBER.sub("#", reason) for reason in reasons)
    kind, count = kinds.most_common(1)[0]
    return next(reason for reason in reasons if _NUMBER.sub("#", reason) == kind), count


def common_params(failed: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return descriptions of the sampled parameters that all failed trials share and no other has, at most MAX_SHOWN.

    A number counts as shared where those of the failed trials lie beyond all the others', and there are enough of both
    that this is hardly chance. Without others, only values that are equal count. Under MIN_FAILED nothing does.

    >>> common_params([{"loss": "focal", "seed": 1}] * 3, [{"loss": "cross_entropy", "seed": 1}])
    ['loss=focal']
    """
    if len(failed) < MIN_FAILED:
        return []
    names = [name for name in failed[0] if all(name in params for params in failed)]
    found = (_shared(name, [p[name] for p in failed], [p[name] for p in others if name in p]) for name in names)
    return [text for text in found if text][:MAX_SHOWN]


def _shared(name: str, failed: Sequence[Any], others: Sequence[Any]) -> str | None:
    if all(value == failed[0] for value in failed):
        return f"{name}={_text(failed[0])}" if failed[0] not in others else None
    if 2 / math.comb(len(failed) + len(others), len(failed)) > CHANCE:
        return None
    if not all(_is_number(value) for value in (*failed, *others)):
        return None
    if min(failed) > max(others):
        return f"{name} >= {_text(min(failed))}"
    if max(failed) < min(others):
        return f"{name} <= {_text(max(failed))}"
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
