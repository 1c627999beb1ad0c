"""The run on disk: the class that defines its file names."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import MetricUntrusted, RunCorrupt, RunExists, RunNotFound, TrialNotFound
from foldtune.files import is_temporary
from foldtune.paths import is_inside, join_stored
from foldtune.results.records import measured_file, proposals_file
from foldtune.results.records.identity import read_identity
from foldtune.results.records.leaderboard import leaderboard
from foldtune.results.records.ranking import Goal
from foldtune.results.records.stored_json import StoredGoal, StoredTask, checked
from foldtune.results.records.trials import FINISHED, TrialRecord, unreadable_record
from foldtune.results.records.tuned_file import add_tuned, read_tuned, with_tuned
from foldtune.results.runs import pretrained_dir
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.runs.names import check_name, check_storage, is_run, no_run, possible_roots
from foldtune.results.runs.trial_dir import TrialDir
from foldtune.results.storage.backend import FileState
from foldtune.results.storage.files import (
    listing,
    names_in,
    read_bytes,
    read_json,
    read_yaml,
    remove_file,
    write_bytes_atomic,
    write_csv,
    write_sealed,
    write_yaml,
)
from foldtune.results.storage.lock import hold_run, is_run_held
from foldtune.results.storage.paths import StorePath, address, as_path
from foldtune.results.storage.retry import storage_errors
from foldtune.wording import not_found

_T = TypeVar("_T")
_FOLD_DTYPES: dict[Hashable, Any] = {"id": str, "fold": "int64"}
BEFORE_CONFIG = frozenset(
    {
        *("run.json", "task.json", "folds.csv", "goal.json", "metric.py", "digests.csv"),
        measured_file.NAME,
        proposals_file.NAME,
    }
)
"""Files that a start writes before config.yaml makes a run of the folder."""
_READERS = 16
"""Threads that read trials from an object store."""


class RunStore:
    """The folder of a run, a run once it has ``config.yaml``. Trials are read again only when they change.

    ``root`` is a folder, or its URL in any file system of fsspec.
    """

    def __init__(self, root: StorePath | str) -> None:
        self.root = as_path(root)
        self.name = self.root.resolve().name
        self.config_path = self.root / "config.yaml"
        self.folds_path = self.root / "folds.csv"
        self.task_path = self.root / "task.json"
        self.goal_path = self.root / "goal.json"
        self.metric_path = self.root / "metric.py"
        self.study_path = self.root / "study.journal"
        self.leaderboard_path = self.root / "leaderboard.csv"
        self.tuned_path = self.root / "tuned.json"
        self.lock_path = self.root / ".lock"
        self.trials_root = self.root / "trials"
        self.ensemble = EnsembleDir(self.root / "ensemble")
        self.pretrained = pretrained_dir.PretrainedDir(self.root / pretrained_dir.NAME)
        self._records: dict[str, tuple[_Signature, TrialRecord]] = {}

    def __reduce__(self) -> tuple[type[RunStore], tuple[StorePath]]:
        return RunStore, (self.root,)  # workers get the path without the cached records

    @property
    def address(self) -> str:
        """The run's absolute path or URL, valid in any process with access to the storage."""
        return address(self.root)

    @classmethod
    def create(cls, storage: StorePath | str, name: str) -> RunStore:
        """Create the folder of a new run. Raises RunNameInvalid, RunExists, StorageInvalid, StorageError."""
        check_name(name, "run")
        store = cls(as_path(storage) / name)
        if isinstance(store.root, Path):
            check_storage(store.root.parent)
            with storage_errors(store.root, "create"):
                store.root.mkdir(parents=True, exist_ok=True)
        # A start that was killed before it wrote config.yaml leaves these, and no run.
        unfinished = BEFORE_CONFIG | {pretrained_dir.NAME}
        taken = any(each[0] != "." and each not in unfinished for each in names_in(store.root) or [])
        if taken and is_run(store.root):
            raise RunExists(
                f"run {name!r} exists in {storage}: give --resume to continue it, or --name for another one"
            )
        if taken:
            raise RunExists(
                f"{store.root} exists and is not a run (it has no config.yaml): give --name for another one"
            )
        return store

    def discard_start(self, folders: Sequence[StorePath]) -> None:
        """Remove what a start wrote that made no run, and those of ``folders`` that are empty then.

        Only for the holder of the lock.
        """
        if is_run(self.root):
            return
        for name in BEFORE_CONFIG:
            remove_file(self.root / name)
        self.pretrained.discard()
        if isinstance(self.lock_path, Path):
            self.lock_path.unlink(missing_ok=True)
        for folder in folders:
            if isinstance(folder, Path):
                with suppress(OSError):  # something else lies in it
                    folder.rmdir()

    def withdraw_start(self) -> None:
        """Make no run of a folder that has no trial yet; `discard_start` removes the rest.

        Only for the holder of the lock.
        """
        if not self.trials():
            remove_file(self.config_path)

    @classmethod
    def open(cls, run: StorePath | str, storage: StorePath | str = "runs") -> RunStore:
        """Return a stored run, a name under ``storage``, a path or a URL.

        Raises RunNotFound naming near ones, RunNewer where a later version wrote it.
        """
        roots = possible_roots(run, storage)
        for root in roots:
            if is_run(root):
                read_identity(root)
                return cls(root)
        for root in roots:
            if names_in(root) is not None:
                raise RunNotFound(f"{root} is not a run: it has no config.yaml")
        raise RunNotFound(no_run("run", str(run), storage))

    def lock(self) -> AbstractContextManager[None]:
        """Hold the run's lock for writing, as long as a search lasts. As `foldtune.results.storage.lock.hold_run`."""
        return hold_run(self.lock_path, f"run {self.name!r} ({self.root})")

    def is_locked(self) -> bool:
        """Whether some process holds the run for writing."""
        return is_run_held(self.lock_path)

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Store the resolved configuration. Raises StorageError."""
        write_yaml(self.config_path, config)

    def read_config(self) -> dict[str, Any]:
        """Return the resolved configuration. Raises RunCorrupt."""
        identity = read_identity(self.root)
        with_sum = identity is not None and identity.adopted is None  # a run of before has none
        return _present(read_yaml(self.config_path, need_sum=with_sum), self.config_path)

    def write_task(self, task: Mapping[str, Any]) -> None:
        """Store the task as inferred from the training table. Raises StorageError."""
        write_sealed(self.task_path, task)

    def read_task(self) -> dict[str, Any]:
        """Return the stored task. Raises RunCorrupt."""
        return checked(_present(read_json(self.task_path), self.task_path), StoredTask, self.task_path)

    def write_goal(self, goal: Goal) -> None:
        """Store the metric that the run optimises, and its direction. Raises StorageError."""
        write_sealed(self.goal_path, asdict(goal))

    def read_goal(self) -> Goal | None:
        """Return the stored metric and direction, None in a run made before they were stored. Raises RunCorrupt."""
        stored = read_json(self.goal_path)
        if stored is None:
            return None
        checked(stored, StoredGoal, self.goal_path)
        return Goal(stored["metric"], stored["mode"])

    def write_metric(self, source: str) -> None:
        """Store the user's file of metrics, which the goal is a function of. Raises StorageError."""
        write_bytes_atomic(self.metric_path, source.encode())

    def read_metric(self) -> str | None:
        """Return the stored file of metrics as text, which is not run; None where there is none.

        Raises:
            MetricUntrusted: it is no text, so not what was stored.
        """
        raw = read_bytes(self.metric_path)
        try:
            return None if raw is None else raw.decode()
        except UnicodeDecodeError:
            raise MetricUntrusted(f"{self.metric_path} is no text in UTF-8") from None

    def write_folds(self, ids: npt.NDArray[np.str_], folds: npt.NDArray[np.int64]) -> None:
        """Store the fold (from 0) of each row: ids (N,), folds (N,). Raises StorageError."""
        write_csv(self.folds_path, pd.DataFrame({"id": ids, "fold": folds}))

    def read_folds(self) -> pd.DataFrame:
        """Return columns id (str) and fold (int64), one row an image, in stored order. Raises RunCorrupt."""
        raw = _present(read_bytes(self.folds_path), self.folds_path)
        try:
            frame = pd.read_csv(BytesIO(raw), dtype=_FOLD_DTYPES, keep_default_na=False)
            return frame[["id", "fold"]]
        except (ValueError, KeyError) as error:
            raise RunCorrupt(f"{self.folds_path} does not hold columns id and fold: {error}") from error

    def trial(self, trial_id: str) -> TrialDir:
        """Return the trial's folder, which need not exist yet. Raises RunNameInvalid, RunCorrupt for a link out."""
        check_name(trial_id, "trial")
        if isinstance(self.trials_root, Path):
            return TrialDir(join_stored(self.trials_root, trial_id))
        return TrialDir(self.trials_root / trial_id)

    def find_trial(self, trial_id: str) -> TrialDir:
        """Return the folder of a stored trial. Raises TrialNotFound naming near ones."""
        self._check_trials([trial_id])
        return self.trial(trial_id)

    def trials(self) -> list[TrialRecord]:
        """Return the stored trials by number; a damaged one is FAIL with the reason. Raises StorageError."""
        signatures = {name: _signature(files) for name, files in self._trial_files().items()}
        unchanged = {
            name: known for name, known in self._records.items() if name in signatures and known[0] == signatures[name]
        }
        changed = [name for name in signatures if name not in unchanged]
        read = zip(changed, self._read_records(changed), strict=True)
        records = unchanged | {name: (signatures[name], record) for name, record in read if record is not None}
        self._records = records
        tuned = read_tuned(self.tuned_path)
        found = [with_tuned(record, tuned) for _, record in records.values()]
        return sorted(found, key=lambda r: (r.number, r.trial_id))

    def write_tuned(self, metric: str, values: Mapping[str, float]) -> None:
        """Store cross-fitted values of a metric by trial id, ``<metric>_tuned`` in the trials' records.

        Values of other trials and metrics stay. Raises RunCorrupt, StorageError.
        """
        add_tuned(self.tuned_path, metric, values)

    def write_leaderboard(self, goal: Goal) -> pd.DataFrame:
        """Bring leaderboard.csv up to date with every finished trial and return it. Raises StorageError."""
        finished = [record for record in self.trials() if record.status in FINISHED]
        frame = leaderboard(finished, goal)
        write_csv(self.leaderboard_path, frame)
        return frame

    def prune_weights(self, keep: Iterable[str]) -> int:
        """Remove weights and checkpoint of each finished trial not in ``keep``; return the number of bytes freed.

        Temporary files in finished trials are removed too. Nothing else is removed of a trial that its surroundings
        ended, nothing of one whose files cannot be read, nor if ``keep`` names a trial that is not stored.
        Raises TrialNotFound, StorageError.
        """
        kept = set(keep)
        self._check_trials(kept)
        records = self.trials()
        kept |= {record.trial_id for record in records if record.surroundings}
        unreadable = self._trial_files().keys() - {record.trial_id for record in records if record.is_readable}
        freed = 0
        for name, files in self._trial_files().items():
            if isinstance(self.trials_root, Path) and not is_inside(self.trials_root / name, self.trials_root):
                continue
            trial = self.trial(name)
            if trial.done_path.name not in files or name in unreadable:
                continue
            bounded = set() if name in kept else {trial.weights_path.name, trial.checkpoint_path.name}
            freed += sum(
                remove_file(trial.root / each)
                for each in files
                if each in bounded or each.endswith(".tmp") or is_temporary(each)
            )
        return freed

    def _trial_files(self) -> Mapping[str, Mapping[str, FileState]]:
        """Return {trial: {file name: state}}."""
        found = listing(self.trials_root)
        return {name: files for name, files in found.items() if name and not name.startswith(".")}

    def _read_records(self, names: Sequence[str]) -> Iterable[TrialRecord | None]:
        trials = [TrialDir(self.trials_root / name) for name in names]
        if isinstance(self.root, Path) or len(trials) < 2:
            return map(_read_record, trials)
        with ThreadPoolExecutor(_READERS) as readers:  # each waits for the network
            return list(readers.map(_read_record, trials))

    def _check_trials(self, trial_ids: Iterable[str]) -> None:
        stored = self._trial_files().keys()
        absent = sorted(set(trial_ids) - stored)
        if absent:
            raise TrialNotFound(
                "\n".join(not_found("trial", trial_id, stored) for trial_id in absent) + f" (in run {self.name!r})"
            )


_SIGNED = ("config.json", "metrics.jsonl", "trial.json")
_Signature = tuple[FileState | None, ...]


def _signature(files: Mapping[str, FileState]) -> _Signature:
    """Return the states of the files that a trial's record is built from."""
    return tuple(files.get(name) for name in _SIGNED)


def _read_record(trial: TrialDir) -> TrialRecord | None:
    try:
        return trial.record()
    except RunCorrupt as error:
        return unreadable_record(trial.trial_id, str(error))


def _present(value: _T | None, path: StorePath) -> _T:
    if value is None:
        raise RunCorrupt(f"{path} is missing: the run was never started, or the file was removed")
    return value
