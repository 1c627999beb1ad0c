"""The folder of an ensemble, self-contained: predictions need nothing else of the run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import RunCorrupt, RunNotFound
from foldtune.paths import is_inside, join_stored
from foldtune.results.records.identity import check_format
from foldtune.results.records.stored_json import StoredEnsembleJson, StoredFold, checked, is_member_name
from foldtune.results.runs.trial_dir import FitDir
from foldtune.results.storage.files import (
    is_file,
    move_file,
    names_in,
    read_bytes,
    read_json,
    read_npz,
    remove_file,
    remove_tree,
    write_bytes_atomic,
    write_npz,
    write_sealed,
)
from foldtune.results.storage.paths import StorePath
from foldtune.results.storage.retry import storage_errors

ALL_ROWS = -2
"""In the place of a fold's number: a member's model that is trained on all rows."""
ModelKey = tuple[int, int]
"""Fold, or ALL_ROWS, and seed of one of a member's models; 0 is the run's own seed."""


def model_name(fold: int, seed: int = 0) -> str:
    """Return the name of a member's model in its folders.

    >>> model_name(2), model_name(2, seed=1), model_name(ALL_ROWS)
    ('fold_2', 'fold_2_seed_1', 'fold_all')
    """
    name = "fold_all" if fold == ALL_ROWS else f"fold_{fold}"
    return f"{name}_seed_{seed}" if seed else name


def stored_models(description: Mapping[str, Any]) -> list[ModelKey]:
    """Return all models of each member of an ensemble.json: its fold models of all seeds, then that of all rows."""
    seeds = range(int(description.get("seeds") or 1))
    folds = [(fold, seed) for seed in seeds for fold in range(int(description["folds"]))]
    return [*folds, (ALL_ROWS, 0)] if description.get("refit") else folds


def predicting_models(description: Mapping[str, Any]) -> list[ModelKey]:
    """Return the models of each member that predict new images: that of all rows alone where there is one."""
    models = stored_models(description)
    return models[-1:] if description.get("refit") else models


class FoldDir(FitDir):
    """Training of one model of a member: ``members/ID/fold_K``, with a completion marker written last."""

    def __init__(self, root: StorePath) -> None:
        super().__init__(root)
        self.done_path = root / "done.json"
        self.test_path = root / "test.npz"

    def with_tta(self, tta: str | None) -> FoldDir:
        """Return the same folder with the file names of scores under another test-time augmentation.

        The augmentation's name is part of the file names, so scores under different ones are kept apart. None is the
        model's own.
        """
        if tta is None:
            return self
        other = FoldDir(self.root)
        other.scores_path = self.root / f"scores.{tta}.npz"
        other.test_path = self.root / f"test.{tta}.npz"
        return other

    def clear(self) -> None:
        """Remove the result and all scores, under any augmentation; a checkpoint stays. Raises StorageError."""
        remove_file(self.done_path)  # the marker first
        for name in names_in(self.root) or ():
            if name.startswith(("scores", "test")) and name.endswith(".npz"):
                remove_file(self.root / name)

    def write_test_logits(self, ids: npt.NDArray[np.str_], logits: npt.NDArray[Any], images: str = "") -> None:
        """Store the model's outputs on the T test rows: ids (T,), logits (T, ...). Raises StorageError.

        ``images`` is the digest of the images, "" where it is not known.
        """
        write_npz(
            self.test_path,
            {"ids": np.asarray(ids, dtype=np.str_), "logits": logits, "images": np.asarray(images)},
            compressed=logits.dtype.itemsize < 4,
        )

    def read_test_logits(
        self, ids: npt.NDArray[np.str_], images: str = "", *, of_before: bool = False
    ) -> npt.NDArray[Any] | None:
        """Return the stored outputs (T, ...), or None unless they are of exactly these ids and images.

        Outputs without a digest of the images, of a version of before, count where ``of_before``; where ``images`` is
        "" the images are not compared. Raises RunCorrupt.
        """
        arrays = read_npz(self.test_path)
        if arrays is None:
            return None
        if not {"ids", "logits"} <= set(arrays):
            raise RunCorrupt(f"{self.test_path} lacks ids or logits")
        if images:
            stored = str(arrays["images"]) if "images" in arrays else ""
            if stored != images and (stored or not of_before):
                return None
        return arrays["logits"] if np.array_equal(arrays["ids"], np.asarray(ids, dtype=np.str_)) else None

    def finish(self, result: Mapping[str, Any]) -> None:
        """Mark the fold as trained and store its result; remove an earlier error log. Raises StorageError."""
        write_sealed(self.done_path, result)
        remove_file(self.error_path)

    def result(self) -> dict[str, Any] | None:
        """Return what ``finish`` stored, or None while the fold is not trained. Raises RunCorrupt."""
        stored = read_json(self.done_path)
        return None if stored is None else checked(stored, StoredFold, self.done_path)


class EnsembleDir:
    """Folder ``ensemble`` of a run, valid once it has ``ensemble.json``, which is written last.

    ``members`` and ``weights`` hold one folder per member, named TRIAL, or RUN/TRIAL for a trial of another run: the
    members of the ensemble, and those that a later ensemble is likely to reuse (see ``keep``).
    """

    def __init__(self, root: StorePath) -> None:
        self.root = root
        self.json_path = root / "ensemble.json"
        self.oof_path = root / "oof.npz"
        self.test_path = root / "test.npz"
        self.submission_path = root / "submission.csv"
        self.boxes_paths = (root / "submission.json", root / "submission.zip")

    @classmethod
    def open(cls, root: StorePath) -> EnsembleDir:
        """Return the ensemble at ``root``. Raises RunNotFound, with the command that makes one."""
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
        write_sealed(self.json_path, description)

    def read(self) -> dict[str, Any] | None:
        """Return ensemble.json, checked whole; None where there is none. Raises RunCorrupt (file, field), RunNewer."""
        stored = read_json(self._own(self.json_path))
        if stored is None:
            return None
        check_format(stored, self.json_path)
        return checked(stored, StoredEnsembleJson, self.json_path)

    def write_oof(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store the out-of-fold arrays by name."""
        write_npz(self.oof_path, arrays, compressed=_has_maps(arrays))

    def read_oof(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the out-of-fold arrays, or None where there are none. Raises RunCorrupt."""
        return read_npz(self._own(self.oof_path))

    def write_test(self, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Store the test set's arrays by name."""
        write_npz(self.test_path, arrays, compressed=_has_maps(arrays))

    def read_test(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the test set's arrays, or None where there are none. Raises RunCorrupt."""
        return read_npz(self._own(self.test_path))

    def write_boxes(self, suffix: str, content: bytes) -> None:
        """Store the submission's boxes in a form of files of this suffix. Raises StorageError."""
        write_bytes_atomic(self._boxes_path(suffix), content)

    def read_boxes(self, suffix: str) -> bytes | None:
        """Return the submission's boxes as a file of this suffix, None where there are none."""
        return read_bytes(self._own(self._boxes_path(suffix)))

    def _boxes_path(self, suffix: str) -> StorePath:
        return next(path for path in self.boxes_paths if path.name.endswith(suffix))

    def _own(self, path: StorePath) -> StorePath:
        """Return the path of a file of this folder. Raises RunCorrupt where a link leads out of it."""
        return join_stored(self.root, path.name) if isinstance(self.root, Path) else path

    def weights_path(self, member: str, fold: int, seed: int = 0) -> StorePath:
        """Path of one model's weights; ``member`` is TRIAL or RUN/TRIAL. Raises RunCorrupt where it leads out."""
        return self._path("weights", member, f"{model_name(fold, seed)}.safetensors")

    def member(self, member: str, fold: int, seed: int = 0) -> FoldDir:
        """Return the progress folder of one model of a member, TRIAL or RUN/TRIAL. Raises RunCorrupt as above."""
        return FoldDir(self._path("members", member, model_name(fold, seed)))

    def _path(self, room: str, member: str, file: str) -> StorePath:
        """Return a path inside of the ensemble's folder, whatever a stored member is called or linked to."""
        if not is_member_name(member):
            raise RunCorrupt(f"{self.json_path}: members: id {member!r} is not TRIAL or RUN/TRIAL")
        if isinstance(self.root, Path):
            return join_stored(self.root, room, member, file)
        return self.root / room / member / file

    @contextmanager
    def replacing(self) -> Iterator[EnsembleDir]:
        """Yield a staging folder for an ensemble's files, which replace the old ones when the block ends.

        If the block fails, the old ensemble stays as it was. Old files without a new one are removed.
        A kill during the exchange leaves no ensemble, never a mixture of two. Raises StorageError.
        """
        stage = EnsembleDir(self.root / ".next")
        remove_tree(stage.root)  # of a killed process
        try:
            yield stage
            remove_file(self.json_path)
            for path in (self.oof_path, self.test_path, self.submission_path, *self.boxes_paths):
                remove_file(path)
                if is_file(stage.root / path.name):
                    move_file(stage.root / path.name, path)
            move_file(stage.json_path, self.json_path)
        finally:
            remove_tree(stage.root)

    def keep(self, models: Iterable[str], progress: Iterable[str] = ()) -> None:
        """Remove the fold models of all members but ``models``, and temporary files of killed writers.

        Results and scores of the members in ``progress`` stay. Not to be called while folds are being trained.
        Raises StorageError.
        """
        kept = set(models)
        members, weights = self.root / "members", self.root / "weights"
        # Results first: a model without its marker is trained again, a marker without its model would be wrong.
        for fold in _folds_of_others(members, kept | set(progress)):
            remove_tree(fold)
        for fold in _folds_of_others(weights, kept):
            remove_file(fold)
        for folder in (members, weights):
            if isinstance(folder, Path):  # object stores have no temporary files and no empty folders
                _tidy(folder)


def _folds_of_others(folder: StorePath, kept: Set[str]) -> Iterator[StorePath]:
    """Yield the paths ``fold_*`` of members that are not ``kept``, under TRIAL or RUN/TRIAL; none behind a link out."""
    for name in names_in(folder) or ():
        inside = names_in(folder / name) or []
        members = [name, *(f"{name}/{each}" for each in inside if not each.startswith((".", "fold_")))]
        for member in members:
            if member not in kept:
                found = names_in(folder / member) or ()
                if isinstance(folder, Path) and not is_inside(folder / member, folder.parent):
                    continue
                yield from (folder / member / each for each in found if each.startswith("fold_"))


def _tidy(folder: Path) -> None:
    with storage_errors(folder, "clean up"):
        for left in list(folder.rglob(".*")):
            left.unlink(missing_ok=True)
        for empty in sorted(folder.rglob("*"), reverse=True):  # children before their parents
            if empty.is_dir() and not any(empty.iterdir()):
                empty.rmdir()


def _has_maps(arrays: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether some array is a probability map: in half precision, which compresses well."""
    return any(values.dtype == np.float16 for values in arrays.values())
