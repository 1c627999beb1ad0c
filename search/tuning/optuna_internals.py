"""Every private name of Optuna that foldtune uses, each behind a function or class of its own.

Optuna may rename or remove a private name in any release. All of them stand here, and a test pins each, so that an
upgrade fails there, with the name, and not in a search. Each docstring gives why Optuna's public interface is not
enough, and what Optuna would have to offer instead.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from typing import Any

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna.storages.journal._file import get_lock_file
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import FrozenTrial, TrialState


def report_value(study: optuna.Study, trial: FrozenTrial, epoch: int, value: float) -> None:
    """Store an intermediate value of a running trial; that of an epoch reported before is overwritten.

    Private: `Study._storage`, `FrozenTrial._trial_id`. `Trial.report` needs the object that `Study.ask` returned, which
    ended with an earlier process, and a new `Trial` object would run the sampler again. Optuna would have to offer
    `Study.report(number, value, step)`, or a `Trial` from its number: https://github.com/optuna/optuna/issues/2987.
    """
    study._storage.set_trial_intermediate_value(trial._trial_id, epoch, value)


def ends_trial(log: Mapping[str, Any]) -> bool:
    """Return whether a line of a journal ends a trial.

    Private: `JournalOperation`, in `optuna.storages.journal._storage`. Optuna would have to make the format of its
    journal public, or to let the backend choose which lines are flushed to the disk.
    """
    return bool(log["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES)


def append_locked(journal: JournalFileBackend, content: bytes, *, flush_to_disk: bool) -> None:
    """Append to the file of a journal, under its lock: readers that take the lock see all of it or nothing.

    Private: `JournalFileBackend._lock` and `._file_path`, and `get_lock_file` in `optuna.storages.journal._file`.
    `JournalFileBackend.append_logs` flushes every line to the disk. Optuna would have to make that optional.
    """
    with get_lock_file(journal._lock), open(journal._file_path, "ab") as file:
        file.write(content)
        file.flush()
        if flush_to_disk:
            os.fsync(file.fileno())


class StudyView:
    """A study that shows a sampler some of its trials, and is the study in all else.

    Private: `Study._get_trials`, by which TPE reads the trials. Its work for a proposal grows with their number
    (https://github.com/optuna/optuna/issues/2172). Optuna would have to bound the trials that TPE models.

    Args:
        trials: the trials to show, by rising number.
    """

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        self._study = study
        self._trials = trials

    def __getattr__(self, name: str) -> Any:
        return getattr(self._study, name)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]
