"""Predictions of a stored ensemble on new images: its folder is all that is needed. No Ray."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from results.ensembledir import EnsembleDir
from results.errors import RunCorrupt
from search.ensembling import Ballot
from search.errors import InputError, unknown
from trainers.data.cache import ImageSource, prepare_images
from trainers.data.decoding import decode_all
from trainers.inference import predict_logits
from trainers.settings import parse_settings
from trainers.tasks import Task, task_from_dict
from trainers.trained import load_trained

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"}


@dataclass(frozen=True)
class NewImages:
    """Images to predict: ids (N,) as they are named in the output, and their files."""

    ids: tuple[str, ...]
    paths: tuple[Path, ...]


def find_images(source: Path, root: Path | None, id_column: str) -> NewImages:
    """The images of a folder (with its subfolders), one file, or the rows of a CSV.

    Args:
        root: folder of the images that a CSV names; the CSV's own by default.
        id_column: the CSV's column of image names.

    Raises:
        InputError: nothing there.
    """
    if source.is_dir():
        paths = sorted(
            path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file()
        )
        if not paths:
            raise InputError(f"{source}: no images in it (looked for {', '.join(sorted(SUFFIXES))})")
        return NewImages(tuple(str(path.relative_to(source)) for path in paths), tuple(paths))
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    if source.suffix.lower() in SUFFIXES:
        return NewImages((source.name,), (source,))
    try:
        frame = pd.read_csv(source, dtype=str)
    except (ValueError, OSError) as error:
        raise InputError(f"{source}: neither a folder, an image nor a CSV ({error})") from None
    if id_column not in frame:
        raise InputError(f"{source}: {unknown('column', id_column, map(str, frame.columns))}; give --id")
    names = frame[id_column].dropna().tolist()
    folder = root or source.parent
    return NewImages(tuple(names), tuple(folder / name for name in names))


@dataclass(frozen=True)
class StoredEnsemble:
    """An ensemble read back from its folder."""

    directory: EnsembleDir
    description: Mapping[str, Any]
    task: Task

    @classmethod
    def open(cls, root: Path) -> StoredEnsemble:
        """Open an ensemble's folder, or the run's that holds one.

        Raises:
            results.errors.RunNotFound: there is none.
            results.errors.RunCorrupt: it cannot be read.
        """
        inner = root / "ensemble"
        directory = EnsembleDir.open(inner if EnsembleDir(inner).exists() else root)
        description = directory.read()
        if description is None:
            raise RunCorrupt(f"{directory.json_path} is gone")
        try:
            return cls(directory, description, task_from_dict(description["task"]))
        except KeyError as error:
            raise RunCorrupt(f"{directory.json_path} lacks {error}") from None

    @property
    def models(self) -> int:
        """Fold models in all."""
        return len(self.description["members"]) * int(self.description["folds"])

    def ballot(self) -> Ballot:
        """The fitted vote."""
        values = self.description
        return Ballot(
            values["voting"], values["min_votes"], values["postprocess"], tuple(values["member_postprocess"])
        )

    def predict(
        self,
        images: NewImages,
        *,
        batch_size: int,
        device: str | None,
        decoders: int,
        progress: Callable[[int, int], None],
        id_column: str = "image",
    ) -> pd.DataFrame:
        """One row an image: id, label, its score, its votes, and one score a class; `error` where it is broken.

        Args:
            batch_size: images at a time.
            device: torch's name; a GPU where there is one by default.
            decoders: processes that decode.
            progress: told (done, total) images times models.
        """
        size, resize = tuple(self.description["image_size"]), self.description["resize"]
        with tempfile.TemporaryDirectory(prefix="foldtune-predict-") as scratch:
            # Decoded once, read by every model; the folder goes with the block.
            source, reasons = decode_new(images.paths, size, resize, Path(scratch), decoders)
            rows = np.array([row for row, reason in enumerate(reasons) if reason is None], dtype=np.int64)
            if source is None:
                return pd.DataFrame({id_column: images.ids, "error": reasons})
            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                progress(done, len(rows) * self.models)

            scores = [
                self._member(member, source, batch_size, device, advance)
                for member in self.description["members"]
            ]
        mean, predictions = self.ballot().apply(self.task, scores)
        frame = self._frame(mean, predictions, scores).set_index(rows).reindex(range(len(images.ids)))
        frame.insert(0, id_column, images.ids)
        return frame.assign(error=pd.Series(reasons, dtype=object))

    def _member(
        self,
        member: Mapping[str, Any],
        source: ImageSource,
        batch_size: int,
        device: str | None,
        advance: Callable[[int], None],
    ) -> npt.NDArray[Any]:
        """Mean scores (N, ...) of a configuration's fold models."""
        settings = parse_settings(member["config"], self.task)
        fold_scores = []
        for fold in range(int(self.description["folds"])):
            weights = self.directory.weights_path(member["trial_id"], fold)
            model = load_trained(self.task, settings, weights, source.shape[1:3])
            before = 0

            def report(done: int, total: int) -> None:
                nonlocal before
                advance(done - before)
                before = done

            logits = predict_logits(
                model,
                source,
                np.arange(len(source)),
                batch_size=batch_size,
                device=device,
                amp=settings.amp,
                progress=report,
            )
            fold_scores.append(self.task.scores(logits))
        return self.task.vote(fold_scores, voting="soft")[0]

    def _frame(
        self, mean: npt.NDArray[Any], predictions: npt.NDArray[Any], scores: Sequence[npt.NDArray[Any]]
    ) -> pd.DataFrame:
        """Label, score, votes of the configurations, and the score of every class."""
        ballot = self.ballot()
        own = ballot.member_postprocess or (ballot.postprocess,) * len(scores)
        votes = sum(
            (self.task.predict(values, postprocess) == predictions).astype(np.int64)
            for values, postprocess in zip(scores, own, strict=True)
        )
        return self.task.prediction_frame(mean, predictions).assign(votes=votes)


def decode_new(
    paths: Sequence[Path], size: tuple[int, int], resize: str, folder: Path, decoders: int
) -> tuple[ImageSource | None, list[str | None]]:
    """Decode what can be decoded; None where nothing can, and the reason of each image that cannot."""
    reasons: list[str | None] = [None] * len(paths)
    broken = decode_all(paths, size, resize, None, decoders, None)
    for row, reason in broken.items():
        reasons[row] = reason
    good = [path for path, reason in zip(paths, reasons, strict=True) if reason is None]
    if not good:
        return None, reasons
    prepared = prepare_images(good, size=size, resize=resize, cache_dir=folder, workers=decoders)
    return prepared.source, reasons
