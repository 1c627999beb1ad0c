"""The Optuna study of a run: where it lives, what samples it, how it is brought back in line after a crash."""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage, RDBStorage, get_storage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from foldtune.errors import InputError, RunCorrupt, RunExists
from foldtune.redaction import redacted, shown_url
from foldtune.results.records.trials import Mode
from foldtune.results.storage.paths import StorePath
from foldtune.results.storage.retry import retry_io
from foldtune.search.tuning.optuna_internals import append_locked, ends_trial, report_value


class RunJournal(JournalFileBackend):
    """The journal of a run, for any number of readers and occasional other writers, such as a dashboard."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, all or none of them visible to a reader that takes the lock."""
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        append_locked(self, lines.encode(), flush_to_disk=any(map(ends_trial, logs)))


RUN_ID = "foldtune_run"
"""Attribute of a study that holds the id of its run."""
RETRY_OF = "foldtune_retry_of"
"""Attribute of a trial of the study that is a later attempt at the trial of that number, which failed."""
LOCK_GRACE_S = 5
"""Age at which the lock of a journal counts as a killed writer's; a write takes milliseconds."""


@dataclass(frozen=True)
class StoredTrial:
    """A trial in the run's store, as far as the study needs it.

    Attributes:
        number: Optuna's trial number, >= 0; -1 where the trial's files are damaged.
        status: RUNNING where it will be resumed, else COMPLETE, PRUNED or FAIL.
        epochs: best-so-far value by epoch, from 1.
        best: value of the trial, None where no epoch was finished.
    """

    number: int
    status: str
    params: Mapping[str, Any]
    epochs: Mapping[int, float]
    best: float | None


def open_study(
    name: str, journal: StorePath, *, url: str | None, mode: Mode, resume: bool, run_id: str | None = None
) -> optuna.Study:
    """Create a run's study, or open it where `resume`.

    Args:
        name: name of the run; several runs may share one storage.
        journal: file of the study where no `url` is given; `optuna-dashboard FILE` opens it. An object store has no
            files that grow: there the study lives in memory, and `reconcile` makes it again from the stored trials.
        url: any Optuna storage URL, for example postgresql://….
        resume: go on with a study that exists; a new run does not join another one's.
        run_id: id of the run, which the study at `url` gets or has; with None a study that exists is only read.

    Raises:
        InputError: the storage at `url` cannot be used.
        RunExists: the storage at `url` holds a study of that name, of another run or of a new one's.
        RunCorrupt: the journal cannot be read.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = _storage_at(url) if url else _journal(journal) if isinstance(journal, Path) else InMemoryStorage()
    try:
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            # ASHA decides in Ray Tune; Optuna records the outcome.
            pruner=optuna.pruners.NopPruner(),
            direction="maximize" if mode == "max" else "minimize",
            load_if_exists=resume,
        )
    except optuna.exceptions.DuplicatedStudyError:
        raise _taken(name, shown_url(url) if url else str(journal)) from None
    if url:
        _claim(study, run_id, shown_url(url))
    return study


def require_free_study(name: str, url: str) -> None:
    """Check before a run is written that the storage at `url` holds no study of its name. Raises as `open_study`."""
    if name in optuna.get_all_study_names(_storage_at(url)):
        raise _taken(name, shown_url(url))


def _claim(study: optuna.Study, run_id: str | None, where: str) -> None:
    """Give a study the run's id, or check that it has it; a study of before belongs to the run that resumes it."""
    if study.user_attrs.get(RUN_ID) is None:
        study.set_user_attr(RUN_ID, run_id or secrets.token_hex(16))
    if run_id is not None:  # also where another process was faster
        _check_owner(study, run_id, where)


def _check_owner(study: optuna.Study, run_id: str | None, where: str) -> None:
    if study.user_attrs.get(RUN_ID) not in (None, run_id):
        raise _taken(study.study_name, where)


def _taken(name: str, where: str) -> RunExists:
    return RunExists(
        f"{where} holds the study {name!r} of another run: give --name for another one, or another "
        "search.study_storage; --resume goes on with the run that it belongs to, in that run's storage"
    )


def _storage_at(url: str) -> BaseStorage:
    try:
        return get_storage(url) if url.startswith("redis") else get_storage(_database(url))
    except Exception as error:  # whatever the database's driver, or its absence, raises
        shown, text = shown_url(url), str(error) or type(error).__name__
        reason = redacted(" ".join(text.replace(url, shown).split()))[:300]
        raise InputError(f"search.study_storage: cannot use {shown!r}: {reason}") from None


def _database(url: str) -> RDBStorage:
    """Return a database that may be unreachable for a moment: closed connections are noticed and made again."""
    storage = RDBStorage(url, engine_kwargs={"pool_pre_ping": True})

    @sqlalchemy.event.listens_for(storage.engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, options: Any) -> Any:
        return retry_io(shown_url(url), "connect to", lambda: dialect.connect(*arguments, **options))

    return storage


def _journal(path: Path) -> JournalStorage:
    # Absolute: the lock is a symbolic link to the file, and a relative one dangles, which Optuna's grace does not see.
    path = path.absolute()
    _cut_torn_line(path)
    lock = JournalFileSymlinkLock(str(path), grace_period=LOCK_GRACE_S)
    try:
        return JournalStorage(RunJournal(str(path), lock_obj=lock))
    except ValueError as error:
        raise RunCorrupt(
            f"{path} cannot be read ({error}): move it away and resume, the study is made again from the stored trials"
        ) from None


def _cut_torn_line(path: Path) -> None:
    """Drop what a killed writer left after the last newline; Optuna would append to it and never read on."""
    if not path.is_file():
        return
    with open(path, "rb+") as file:
        content = file.read()
        end = content.rfind(b"\n") + 1
        if end < len(content):
            file.truncate(end)
            os.fsync(file.fileno())


def report(study: optuna.Study, number: int, epoch: int, value: float) -> None:
    """Store the best-so-far value after an epoch, from 1; an epoch reported again (after a restart) is overwritten.

    Values that are not finite are left out.
    """
    frozen = study.get_trials(deepcopy=False)[number]
    if not frozen.state.is_finished():  # else it failed once: `record_end` adds the outcome of the next attempt
        _report(study, frozen, epoch, value)


def _report(study: optuna.Study, frozen: FrozenTrial, epoch: int, value: float) -> None:
    if math.isfinite(value):
        report_value(study, frozen, epoch, value)


def record_end(study: optuna.Study, trial: StoredTrial) -> None:
    """Record how a trial ended, once; a trial that is finished in the study is left as it is.

    Where it failed before and was tried again, its outcome is one more trial of the study, of which TPE learns.
    PRUNED keeps the intermediate values, of which TPE learns; those that the study does not hold yet are added.
    A COMPLETE trial without a finite value becomes FAIL.
    """
    frozen = study.get_trials(deepcopy=False)[trial.number]
    if frozen.state.is_finished():
        if frozen.state == TrialState.FAIL:
            _add_retried(study, frozen, trial)
        return
    for epoch, value in sorted(trial.epochs.items()):
        if epoch not in frozen.intermediate_values:
            _report(study, frozen, epoch, value)
    if trial.status == "COMPLETE" and trial.best is not None and math.isfinite(trial.best):
        study.tell(trial.number, trial.best)
    elif trial.status == "PRUNED":
        study.tell(trial.number, state=TrialState.PRUNED)
    else:
        study.tell(trial.number, state=TrialState.FAIL)


def _add_retried(study: optuna.Study, failed: FrozenTrial, trial: StoredTrial) -> None:
    """Add the outcome of a trial that failed and was tried again with success, once."""
    done = trial.status == "COMPLETE" and trial.best is not None and math.isfinite(trial.best)
    values = {epoch: value for epoch, value in sorted(trial.epochs.items()) if math.isfinite(value)}
    if not (done or (trial.status == "PRUNED" and values)):
        return
    if any(each.user_attrs.get(RETRY_OF) == trial.number for each in study.get_trials(deepcopy=False)):
        return
    study.add_trial(
        create_trial(
            state=TrialState.COMPLETE if done else TrialState.PRUNED,
            value=trial.best if done else values[max(values)],
            params=failed.params,
            distributions=failed.distributions,
            intermediate_values=values,
            user_attrs={RETRY_OF: trial.number},
        )
    )


def reconcile(
    study: optuna.Study,
    stored: Iterable[StoredTrial],
    distributions: Mapping[str, BaseDistribution],
    run_id: str | None = None,
) -> None:
    """Bring a study in line with the run's store, which is the record.

    - A stored trial that the study lacks (its file is gone, its storage is another one) is added.
    - The end of a stored trial is recorded; one that will be resumed stays RUNNING.
    - A RUNNING trial that the store lacks was proposed just before a crash: it becomes FAIL.

    Args:
        distributions: distribution of every parameter of the space, by name.
        run_id: id of the run, None where its study has none.

    Raises:
        RunExists: the study is another run's.
    """
    _check_owner(study, run_id, "its storage")
    by_number = {trial.number: trial for trial in stored if trial.number >= 0}
    known = len(study.get_trials(deepcopy=False))
    for number in range(known, max(by_number, default=-1) + 1):
        study.add_trial(_missing_trial(by_number.get(number), distributions))
    for frozen in study.get_trials(deepcopy=False):
        trial = by_number.get(frozen.number)
        if trial is None and frozen.state == TrialState.RUNNING:
            study.tell(frozen.number, state=TrialState.FAIL)
        elif trial is not None and trial.status != "RUNNING":
            record_end(study, trial)


def _missing_trial(trial: StoredTrial | None, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """Return a trial to add to the study; FAIL in the place of a number that the store has no trial of."""
    if trial is None:
        return create_trial(state=TrialState.FAIL)
    params = {name: value for name, value in trial.params.items() if name in distributions}
    return create_trial(
        state=TrialState.RUNNING, params=params, distributions={name: distributions[name] for name in params}
    )


def ensure_default(study: optuna.Study, params: Mapping[str, Any]) -> None:
    """Make the default configuration the next proposal, unless it already is."""
    if not any(frozen.state == TrialState.WAITING for frozen in study.get_trials(deepcopy=False)):
        study.enqueue_trial(dict(params))
