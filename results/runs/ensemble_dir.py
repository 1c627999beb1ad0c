"""The ensemble's folder, complete in itself: predictions need nothing else of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import RunCorrupt, RunNotFound
from foldtune.results.runs.trial_dir import FitDir
from foldtune.results.storage.files import (
    is_file,
    move_file,
    names_in,
    read_json,
    read_npz,
    remove_file,
    remove_tree,
    write_json,
    write_npz,
)
from foldtune.results.storage.paths import StorePath
from foldtune.results.storage.retry import storage_errors


class FoldDir(FitDir):
    """Progress of one fold of one member: ``members/ID/fold_K`` with a done marker written last."""

    def __init__(self, root: StorePath) -> None:
        super().__init__(root)
        self.done_path = root / "done.json"
        self.test_path = root / "test.npz"

    def with_tta(self, tta: str | None) -> FoldDir:
        """The same folder with the scores that its model gives under other test-time views, None for its own.

        They lie beside each other by the name of the views, so that those of one are never taken for another's.
        """
        if tta is None:
            return self
        other = FoldDir(self.root)
        other.scores_path = self.root / f"scores.{tta}.npz"
        other.test_path = self.root / f"test.{tta}.npz"
        return other

    def clear(self) -> None:
        """Forget the result and all scores, under whatever views; a checkpoint stays. Raises StorageError."""
        remove_file(self.done_path)  # the marker first
        for name in names_in(self.root) or ():
            if name.startswith(("scores", "test")) and name.endswith(".npz"):
                remove_file(self.root / name)

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

    ``members`` and ``weights`` hold one folder a member: a trial of this run by its id, one of another run by
    RUN/TRIAL. They are those of the ensemble, and those that a further one is likely to want (see ``keep``).
    """

    def __init__(self, root: StorePath) -> None:
        self.root = root
        self.json_path = root / "ensemble.json"
        self.oof_path = root / "oof.npz"
        self.test_path = root / "test.npz"
        self.submission_path = root / "submission.csv"

    @classmethod
    def open(cls, root: StorePath) -> EnsembleDir:
        """Return the ensemble at ``root``. Raises RunNotFound where there is none, saying how to make one."""
        ensemble = cls(root)
        if not ensemble.exists():
            raise RunNotFound(
                f"no ensemble at {root}: it has no ensemble.json. `foldtune ensemble RUN` makes one at RUN/ensemble"
            )
        return ensemble

    def exists(self) -> bool:
        """Whether a finished ensemble is stored."""
        return is_file(self.json_path)

    def write(self, description: Mapping[str, Any]) -> None:
        """Store ensemble.json: members, weights, voting, post-processing, estimates. Raises StorageError."""
        write_json(self.json_path, description)

    def read(self) -> dict[str, Any] | None:
        """Return ensemble.json, or None where there is none. Raises RunCorrupt."""
        return read_json(self.json_path)

    def write_oof(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store the out-of-fold arrays by name."""
        write_npz(self.oof_path, arrays, compressed=_has_maps(arrays))

    def read_oof(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the out-of-fold arrays, or None where there are none. Raises RunCorrupt."""
        return read_npz(self.oof_path)

    def write_test(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store the test set's arrays by name."""
        write_npz(self.test_path, arrays, compressed=_has_maps(arrays))

    def read_test(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the test set's arrays, or None where there are none. Raises RunCorrupt."""
        return read_npz(self.test_path)

    def weights_path(self, member: str, fold: int) -> StorePath:
        """Path of one fold model's weights; ``member`` is TRIAL or RUN/TRIAL."""
        return self.root / "weights" / member / f"fold_{fold}.safetensors"

    def member(self, member: str, fold: int) -> FoldDir:
        """Return the progress folder of one fold of a member, TRIAL or RUN/TRIAL."""
        return FoldDir(self.root / "members" / member / f"fold_{fold}")

    @contextmanager
    def replacing(self) -> Iterator[EnsembleDir]:
        """Yield a folder for the block to write an ensemble's files into, which then take the old ones' places.

        Where the block fails, the old ensemble stands as it was. What the block leaves out is gone afterwards.
        A kill in the moment of the exchange leaves no ensemble at all, never one mixed of two. Raises StorageError.
        """
        stage = EnsembleDir(self.root / ".next")
        remove_tree(stage.root)  # of a killed process
        try:
            yield stage
            remove_file(self.json_path)
            for path in (self.oof_path, self.test_path, self.submission_path):
                remove_file(path)
                if is_file(stage.root / path.name):
                    move_file(stage.root / path.name, path)
            move_file(stage.json_path, self.json_path)
        finally:
            remove_tree(stage.root)

    def keep(self, models: Iterable[str], progress: Iterable[str] = ()) -> None:
        """Remove the fold models of all members but ``models``, and what killed writers left behind.

        Of the members in ``progress`` what their models found stays. Not to be called while folds are trained.
        Raises StorageError.
        """
        kept = set(models)
        members, weights = self.root / "members", self.root / "weights"
        # Progress first: a model without its marker is trained again, a marker without its model would lie.
        for fold in _folds_of_others(members, kept | set(progress)):
            remove_tree(fold)
        for fold in _folds_of_others(weights, kept):
            remove_file(fold)
        for folder in (members, weights):
            if isinstance(folder, Path):  # other storage has no torn files and no empty folders
                _tidy(folder)


def _folds_of_others(folder: StorePath, kept: Set[str]) -> Iterator[StorePath]:
    """What lies there of the folds of members that are not ``kept``, under TRIAL or RUN/TRIAL."""
    for name in names_in(folder) or ():
        inside = names_in(folder / name) or []
        members = [name, *(f"{name}/{each}" for each in inside if not each.startswith((".", "fold_")))]
        for member in members:
            if member not in kept:
                found = names_in(folder / member) or ()
                yield from (folder / member / each for each in found if each.startswith("fold_"))


def _tidy(folder: Path) -> None:
    with storage_errors(folder, "clean up"):
        for left in list(folder.rglob(".*")):
            left.unlink(missing_ok=True)
        for empty in sorted(folder.rglob("*"), reverse=True):  # what is inside comes first
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()


def _has_maps(arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Maps of images come in half precision, and shrink many times over."""
    return any(values.dtype == np.float16 for values in arrays.values())
