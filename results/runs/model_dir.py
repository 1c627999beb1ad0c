"""The folder of the promoted model, its dated backups, and the exchange of one model for another."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy.typing as npt

from foldtune.errors import ModelForeign, ModelNotFound, ResultsError, RunCorrupt
from foldtune.results.records.identity import check_format, written_by
from foldtune.results.runs.ensemble_dir import EnsembleDir, ModelKey
from foldtune.results.storage.files import read_json, write_json
from foldtune.results.storage.lock import held_file
from foldtune.results.storage.paths import StorePath
from foldtune.results.storage.retry import storage_errors

PROMOTION_FILE = "promotion.json"
PROMOTED = "promoted.json"
"""File in an ensemble's folder that names the models made of it, which protect its run."""


class ModelDir:
    """A folder that an ensemble is promoted to: all files that predictions need, and ``promotion.json``.

    Folders without ``promotion.json`` are never moved or removed. After a kill at any moment the folder holds the old
    model or the new one; or it is absent, and its newest backup is complete.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).resolve()
        self.promotion_path = self.root / PROMOTION_FILE
        self.ensemble = EnsembleDir(self.root)

    def exists(self) -> bool:
        """Whether the folder holds a promoted model."""
        return _is_ours(self.root) and self.ensemble.exists()

    def check_not_foreign(self) -> None:
        """Raise ModelForeign if the folder holds anything but a promoted model; it may be absent or empty."""
        if not self.root.exists() or _is_ours(self.root):
            return
        if not self.root.is_dir() or any(self.root.iterdir()):
            raise ModelForeign(
                f"{self.root} holds something that was not promoted there (it has no {PROMOTION_FILE}): "
                "name another folder"
            )

    def promotion(self) -> dict[str, Any]:
        """Return the ``promotion`` given to ``put`` with the current model. Raises RunCorrupt."""
        stored = read_json(self.promotion_path)
        if stored is None:
            raise RunCorrupt(f"{self.promotion_path} is gone")
        check_format(stored, self.promotion_path)
        return stored

    def backups(self) -> list[Path]:
        """Return the folders of earlier models, the newest first."""
        form = re.compile(re.escape(self.root.name) + r"\.backup-(\d{8}-\d{6})(?:-(\d+))?")
        found = [
            (match[1], int(match[2] or 0), path)
            for path in (self.root.parent.iterdir() if self.root.parent.is_dir() else ())
            if (match := form.fullmatch(path.name)) and _is_ours(path)
        ]
        return [path for _, _, path in sorted(found, reverse=True)]

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder's lock for an exchange. Raises RunBusy, StorageError."""
        path = self.root.parent / f".{self.root.name}.lock"
        with storage_errors(path, "lock"):
            path.parent.mkdir(parents=True, exist_ok=True)
        with held_file(path, f"another process is promoting to {self.root}: wait for it or stop it first"):
            yield

    def recover(self) -> Path | None:
        """Undo an exchange that was killed halfway, remove its files and return the backup that was restored, if any.

        Only for a holder of the lock. Raises StorageError.
        """
        with storage_errors(self.root, "recover"):
            left = [path for path in self.root.parent.glob(f".{self.root.name}.*.new") if _is_stage(path)]
            newest = next(iter(self.backups()), None)
            # The old model is moved only once the new one is complete beside it.
            halfway = newest if left and not self.root.exists() else None
            if halfway is not None:
                os.rename(halfway, self.root)
            for path in left:
                shutil.rmtree(path)
        return halfway

    def put(
        self,
        description: Mapping[str, Any],
        oof: Mapping[str, npt.NDArray[Any]],
        weights: Mapping[tuple[str, ModelKey], StorePath],
        promotion: Mapping[str, Any],
        verify: Callable[[], None] = lambda: None,
    ) -> Path | None:
        """Replace the current model by another one, atomically; return the backup of the former, if any.

        Only for a holder of the lock.

        Args:
            weights: weights file by member and model.
            promotion: record of this exchange, content of promotion.json.
            verify: called when all is copied, before the exchange; what it raises leaves the current model in use.

        Raises:
            ModelForeign: the folder holds something else; nothing has changed.
            StorageError: nothing has changed.
        """
        self.check_not_foreign()
        place = self.root.parent / f".{self.root.name}.{secrets.token_hex(4)}.new"
        stage = EnsembleDir(place)
        backup = self._beside("backup") if self.root.exists() and any(self.root.iterdir()) else None
        try:
            with storage_errors(self.root, "write"):
                # This file first: it identifies the leftovers of a killed process as foldtune's.
                replaced = None if backup is None else backup.name
                write_json(place / PROMOTION_FILE, {**promotion, **written_by(), "replaced": replaced})
                for (member, model), path in weights.items():
                    _copy(path, stage.weights_path(member, *model))
                stage.write_oof(oof)
                stage.write(description)
                verify()
                self._exchange(place, backup)
                self._note_in_source(promotion)
        except BaseException:
            shutil.rmtree(place, ignore_errors=True)
            raise
        return backup

    def _exchange(self, stage: Path, backup: Path | None) -> None:
        if backup is not None:
            os.rename(self.root, backup)
        try:
            os.rename(stage, self.root)  # over an empty folder, too
        except OSError:
            if backup is not None:
                os.rename(backup, self.root)
            raise

    def _note_in_source(self, promotion: Mapping[str, Any]) -> None:
        """Name this model in the folder that it was made of, where that can be written to."""
        source = promotion.get("from")
        if isinstance(source, str) and Path(source).is_dir():
            with suppress(ResultsError):
                path = Path(source) / PROMOTED
                models = (read_json(path) or {}).get("models")
                known = [str(each) for each in models] if isinstance(models, list) else []
                write_json(path, {"models": list(dict.fromkeys([*known, str(self.root)]))})

    def rollback(self) -> tuple[Path, Path | None]:
        """Replace the current model by the newest backup, and keep it beside under another name.

        Only for a holder of the lock. Return the former path of the backup, and the path of the withdrawn model.
        Raises ModelNotFound without a backup, ModelForeign, StorageError.
        """
        self.check_not_foreign()
        newest = next(iter(self.backups()), None)
        if newest is None:
            raise ModelNotFound(f"there is no backup to go back to: no {self.root.name}.backup-* in {self.root.parent}")
        withdrawn = self._beside("withdrawn") if _is_ours(self.root) else None
        with storage_errors(self.root, "exchange"):
            if withdrawn is not None:
                os.rename(self.root, withdrawn)
            os.rename(newest, self.root)
        return newest, withdrawn

    def _beside(self, word: str) -> Path:
        """Return a free path beside the folder, dated in UTC."""
        dated = f"{self.root.name}.{word}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
        path, number = self.root.with_name(dated), 1
        while path.exists():
            number += 1
            path = self.root.with_name(f"{dated}-{number}")
        return path


def _is_ours(path: Path) -> bool:
    return path.is_dir() and (path / PROMOTION_FILE).is_file()


def _is_stage(path: Path) -> bool:
    """Whether a killed exchange left this folder: it has promotion.json, or at most a temporary of it."""
    if _is_ours(path):
        return True
    return path.is_dir() and all(file.name.startswith(f".{PROMOTION_FILE}.") for file in path.iterdir())


def _copy(source: StorePath, target: StorePath) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        shutil.copyfileobj(reader, writer, 1 << 20)
        writer.flush()
        os.fsync(writer.fileno())
