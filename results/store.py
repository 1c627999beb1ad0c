"""The run on disk: the one class that owns its names."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from filelock import FileLock, Timeout

from results.ensembledir import EnsembleDir
from results.errors import (
    RunBusy,
    RunCorrupt,
    RunExists,
    RunNotFound,
    TrialNotFound,
    unknown,
)
from results.files import (
    read_bytes,
    read_json,
    read_yaml,
    remove_file,
    storage_errors,
    write_csv,
    write_json,
    write_yaml,
)
from results.leaderboard import leaderboard
from results.names import check_name, is_run, run_names
from results.records import FINISHED, Mode, TrialRecord, unreadable_record
from results.trialdir import TrialDir

_T = TypeVar("_T")
_FOLD_DTYPES: dict[Hashable, Any] = {"id": str, "fold": "int64"}
_LOCK_TIMEOUT_S = 1.0  # longer than a moment's look by list_runs, which takes the lock itself


class RunStore:
    """One run's folder, a run once it has ``config.yaml``. Trials are read again only when they change."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.name = self.root.resolve().name
        self.config_path = self.root / "config.yaml"
        self.folds_path = self.root / "folds.csv"
        self.task_path = self.root / "task.json"
        self.study_path = self.root / "study.journal"
        self.leaderboard_path = self.root / "leaderboard.csv"
        self.tuned_path = self.root / "tuned.json"
        self.lock_path = self.root / ".lock"
        self.trials_root = self.root / "trials"
        self.ensemble = EnsembleDir(self.root / "ensemble")
        self._records: dict[str, tuple[_Signature, TrialRecord]] = {}

    def __reduce__(self) -> tuple[type[RunStore], tuple[Path]]:
        return RunStore, (self.root,)  # workers get the place, not the records read so far

    @classmethod
    def create(cls, storage: Path | str, name: str) -> RunStore:
        """Make the folder of a new run. Raises RunNameInvalid, RunExists, StorageError."""
        check_name(name, "run")
        store = cls(Path(storage) / name)
        with storage_errors(store.root, "create"):
            store.root.mkdir(parents=True, exist_ok=True)
            # A start that was killed before it wrote config.yaml leaves these two, and no run.
            unfinished = {store.task_path.name, store.folds_path.name}
            taken = any(p.name[0] != "." and p.name not in unfinished for p in store.root.iterdir())
        if taken and store.config_path.is_file():
            raise RunExists(
                f"run {name!r} exists in {storage}: give --resume to continue it, or --name for another one"
            )
        if taken:
            raise RunExists(
                f"{store.root} exists and is not a run (it has no config.yaml): give --name for another one"
            )
        return store

    @classmethod
    def open(cls, run: Path | str, storage: Path | str = "runs") -> RunStore:
        """Return a stored run, a name under ``storage`` or a path. Raises RunNotFound naming near ones."""
        inside = Path(storage) / run
        for root in (inside, Path(run)):
            if is_run(root):
                return cls(root)
        where = inside if inside.is_dir() else Path(run)
        if where.is_dir():
            raise RunNotFound(f"{where} is not a run: it has no config.yaml")
        raise RunNotFound(f"{unknown('run', str(run), run_names(storage))} (in {storage})")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for writing, as long as a search lasts; a killed holder frees it. Raises RunBusy."""
        lock = FileLock(self.lock_path)
        with storage_errors(self.lock_path, "lock"):
            try:
                lock.acquire(timeout=_LOCK_TIMEOUT_S)
            except Timeout:  # an OSError, so it must not reach storage_errors
                raise RunBusy(
                    f"another process is working on run {self.name!r} ({self.root}): wait for it or stop it first"
                ) from None
        try:
            yield
        finally:
            lock.release()

    def is_locked(self) -> bool:
        """Whether some process holds the run for writing."""
        if not self.lock_path.is_file():
            return False
        try:
            with FileLock(self.lock_path, timeout=0):
                return False
        except Timeout:
            return True
        except OSError:  # a run that this user may only read
            return False

    def write_config(self, config: Mapping[str, Any]) -> None:
        """Store the resolved configuration. Raises StorageError."""
        write_yaml(self.config_path, config)

    def read_config(self) -> dict[str, Any]:
        """Return the resolved configuration. Raises RunCorrupt."""
        return _present(read_yaml(self.config_path), self.config_path)

    def write_task(self, task: Mapping[str, Any]) -> None:
        """Store the task as learnt from the training table. Raises StorageError."""
        write_json(self.task_path, task)

    def read_task(self) -> dict[str, Any]:
        """Return the stored task. Raises RunCorrupt."""
        return _present(read_json(self.task_path), self.task_path)

    def write_folds(self, ids: npt.NDArray[np.str_], folds: npt.NDArray[np.int64]) -> None:
        """Store the fold (from 0) of each row: ids (N,), folds (N,). Raises StorageError."""
        write_csv(self.folds_path, pd.DataFrame({"id": ids, "fold": folds}))

    def read_folds(self) -> pd.DataFrame:
        """Return columns id (str) and fold (int64), one row an image, in stored order. Raises RunCorrupt."""
        _present(read_bytes(self.folds_path), self.folds_path)
        try:
            frame = pd.read_csv(self.folds_path, dtype=_FOLD_DTYPES, keep_default_na=False)
            return frame[["id", "fold"]]
        except (ValueError, KeyError) as error:
            raise RunCorrupt(f"{self.folds_path} does not hold columns id and fold: {error}") from error

    def trial(self, trial_id: str) -> TrialDir:
        """Return the trial's folder, which need not exist yet. Raises RunNameInvalid."""
        check_name(trial_id, "trial")
        return TrialDir(self.trials_root / trial_id)

    def find_trial(self, trial_id: str) -> TrialDir:
        """Return the folder of a stored trial. Raises TrialNotFound naming near ones."""
        self._check_trials([trial_id])
        return self.trial(trial_id)

    def trials(self) -> list[TrialRecord]:
        """Return the stored trials by number; a damaged one is FAIL with the reason. Raises StorageError."""
        records: dict[str, tuple[_Signature, TrialRecord]] = {}
        for trial in self._trial_dirs():
            signature = _signature(trial)
            known = self._records.get(trial.trial_id)
            if known is not None and known[0] == signature:
                records[trial.trial_id] = known
            elif (record := _read_record(trial)) is not None:
                records[trial.trial_id] = (signature, record)
        self._records = records
        tuned = self._read_tuned()
        found = [_with_tuned(record, tuned) for _, record in records.values()]
        return sorted(found, key=lambda r: (r.number, r.trial_id))

    def write_tuned(self, metric: str, values: Mapping[str, float]) -> None:
        """Keep cross-fitted values of a metric by trial: their records have them as ``<metric>_tuned`` from then on.

        Values of other trials and metrics stay. Raises RunCorrupt, StorageError.
        """
        tuned = self._read_tuned()
        write_json(self.tuned_path, {**tuned, metric: {**tuned.get(metric, {}), **values}})

    def _read_tuned(self) -> dict[str, dict[str, float]]:
        stored = read_json(self.tuned_path) or {}
        if not all(isinstance(values, dict) for values in stored.values()):
            raise RunCorrupt(f"{self.tuned_path} does not hold values by metric and trial; remove it")
        return stored

    def write_leaderboard(self, metric: str, mode: Mode, modes: Mapping[str, Mode] | None = None) -> pd.DataFrame:
        """Bring leaderboard.csv up to date with every finished trial and return it. Raises StorageError."""
        finished = [record for record in self.trials() if record.status in FINISHED]
        frame = leaderboard(finished, metric, mode, modes=modes)
        write_csv(self.leaderboard_path, frame)
        return frame

    def prune_weights(self, keep: Iterable[str]) -> int:
        """Remove weights and checkpoint of each finished trial not in ``keep``; return the bytes freed.

        What killed writers left behind in finished trials goes too. Removes nothing where ``keep`` names a
        trial that is not stored. Raises TrialNotFound, StorageError.
        """
        kept = set(keep)
        self._check_trials(kept)
        finished = [trial for trial in self._trial_dirs() if trial.is_finished()]
        paths = [path for trial in finished for path in trial.root.glob("*.tmp")]
        for trial in finished:
            if trial.trial_id not in kept:
                paths += [trial.weights_path, trial.checkpoint_path]
        return sum(remove_file(path) for path in paths)

    def _trial_dirs(self) -> list[TrialDir]:
        with storage_errors(self.trials_root, "read"):
            try:
                with os.scandir(self.trials_root) as entries:
                    names = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
            except FileNotFoundError:
                return []
        return [TrialDir(self.trials_root / name) for name in names]

    def _check_trials(self, trial_ids: Iterable[str]) -> None:
        stored = {trial.trial_id for trial in self._trial_dirs()}
        absent = sorted(set(trial_ids) - stored)
        if absent:
            raise TrialNotFound(
                "\n".join(unknown("trial", trial_id, stored) for trial_id in absent) + f" (in run {self.name!r})"
            )


_Signature = tuple[tuple[int, int, int] | None, ...]


def _signature(trial: TrialDir) -> _Signature:
    """Inode, size and time of each file of a trial: what is replaced or appended to changes one of them."""
    return tuple(_stat(path) for path in (trial.config_path, trial.metrics_path, trial.done_path))


def _stat(path: Path) -> tuple[int, int, int] | None:
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _with_tuned(record: TrialRecord, tuned: Mapping[str, Mapping[str, float]]) -> TrialRecord:
    own = {
        f"{metric}_tuned": float(values[record.trial_id])
        for metric, values in tuned.items()
        if values.get(record.trial_id) is not None
    }
    return replace(record, metrics={**record.metrics, **own}) if own else record


def _read_record(trial: TrialDir) -> TrialRecord | None:
    try:
        return trial.record()
    except RunCorrupt as error:
        return unreadable_record(trial.trial_id, str(error))


def _present(value: _T | None, path: Path) -> _T:
    if value is None:
        raise RunCorrupt(f"{path} is missing: the run was never started, or the file was removed")
    return value
