"""The ensemble's folder, complete in itself: predictions need nothing else of the run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from results.errors import RunCorrupt, RunNotFound
from results.files import read_json, read_npz, remove_file, storage_errors, write_json, write_npz
from results.trialdir import FitDir


class FoldDir(FitDir):
    """Progress of one fold of one member: ``members/TRIAL/fold_K`` with a done marker written last."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.done_path = root / "done.json"
        self.test_path = root / "test.npz"

    def write_test_logits(self, ids: npt.NDArray[np.str_], logits: npt.NDArray[Any]) -> None:
        """Store the model's outputs on the rows to submit: ids (T,), logits (T, ...). Raises StorageError."""
        write_npz(
            self.test_path,
            {"ids": np.asarray(ids, dtype=np.str_), "logits": logits},
            compressed=logits.dtype.itemsize < 4,
        )

    def read_test_logits(self, ids: npt.NDArray[np.str_]) -> npt.NDArray[Any] | None:
        """Return the stored outputs (T, ...), or None where there are none for just these rows. Raises RunCorrupt."""
        arrays = read_npz(self.test_path)
        if arrays is None:
            return None
        if not {"ids", "logits"} <= set(arrays):
            raise RunCorrupt(f"{self.test_path} lacks ids or logits")
        return arrays["logits"] if np.array_equal(arrays["ids"], np.asarray(ids, dtype=np.str_)) else None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Mark the fold as trained, with what it found; an earlier failure is forgotten. Raises StorageError."""
        write_json(self.done_path, result)
        remove_file(self.error_path)

    def result(self) -> dict[str, Any] | None:
        """Return what ``finish`` stored, or None while the fold is not trained. Raises RunCorrupt."""
        return read_json(self.done_path)


class EnsembleDir:
    """Folder ``ensemble`` of a run; ``ensemble.json`` is written last and makes it one.

    ``members`` and ``weights`` hold one folder a trial: of the ensemble's members, and of those trials that a
    further ensemble is likely to want (see ``keep``).
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.json_path = root / "ensemble.json"
        self.oof_path = root / "oof.npz"
        self.test_path = root / "test.npz"
        self.submission_path = root / "submission.csv"

    @classmethod
    def open(cls, root: Path) -> EnsembleDir:
        """Return the ensemble at ``root``. Raises RunNotFound where there is none, saying how to make one."""
        ensemble = cls(Path(root))
        if not ensemble.exists():
            raise RunNotFound(
                f"no ensemble at {root}: it has no ensemble.json. `foldtune ensemble RUN` makes one at RUN/ensemble"
            )
        return ensemble

    def exists(self) -> bool:
        """Whether a finished ensemble is stored."""
        return self.json_path.is_file()

    def write(self, description: Mapping[str, Any]) -> None:
        """Store ensemble.json: members, weights, voting, post-processing, estimates. Raises StorageError."""
        write_json(self.json_path, description)

    def read(self) -> dict[str, Any] | None:
        """Return ensemble.json, or None where there is none. Raises RunCorrupt."""
        return read_json(self.json_path)

    def write_oof(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store the out-of-fold arrays by name."""
        write_npz(self.oof_path, arrays)

    def read_oof(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the out-of-fold arrays, or None where there are none. Raises RunCorrupt."""
        return read_npz(self.oof_path)

    def write_test(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store the test set's arrays by name."""
        write_npz(self.test_path, arrays)

    def read_test(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the test set's arrays, or None where there are none. Raises RunCorrupt."""
        return read_npz(self.test_path)

    def weights_path(self, trial_id: str, fold: int) -> Path:
        """Path of one fold model's weights."""
        return self.root / "weights" / trial_id / f"fold_{fold}.safetensors"

    def member(self, trial_id: str, fold: int) -> FoldDir:
        """Return the progress folder of one fold of a member."""
        return FoldDir(self.root / "members" / trial_id / f"fold_{fold}")

    @contextmanager
    def replacing(self) -> Iterator[EnsembleDir]:
        """Yield a folder for the block to write an ensemble's files into, which then take the old ones' places.

        Where the block fails, the old ensemble stands as it was. What the block leaves out is gone afterwards.
        A kill in the moment of the exchange leaves no ensemble at all, never one mixed of two. Raises StorageError.
        """
        stage = EnsembleDir(self.root / ".next")
        shutil.rmtree(stage.root, ignore_errors=True)  # of a killed process
        try:
            yield stage
            with storage_errors(self.root, "write"):
                self.json_path.unlink(missing_ok=True)
                for path in (self.oof_path, self.test_path, self.submission_path):
                    path.unlink(missing_ok=True)
                    if (stage.root / path.name).exists():
                        os.replace(stage.root / path.name, path)
                os.replace(stage.json_path, self.json_path)
        finally:
            shutil.rmtree(stage.root, ignore_errors=True)

    def keep(self, trial_ids: Iterable[str]) -> None:
        """Remove the fold models of all other trials, and what killed writers left behind. Raises StorageError.

        Not to be called while folds are trained.
        """
        kept = set(trial_ids)
        with storage_errors(self.root, "clean up"):
            # Progress first: a model without its marker is trained again, a marker without its model would lie.
            for folder in (self.root / "members", self.root / "weights"):
                for trial in folder.iterdir() if folder.is_dir() else ():
                    if trial.name not in kept:
                        shutil.rmtree(trial)
                for left in folder.rglob(".*"):
                    left.unlink(missing_ok=True)
