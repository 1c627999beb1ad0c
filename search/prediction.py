"""Predictions of a stored ensemble on new images: its folder is all that is needed. No Ray."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from results.ensembledir import EnsembleDir
from results.errors import RunCorrupt
from search.ballots import Ballot
from search.errors import InputError, WorkError, unknown
from trainers.data.cache import Prepared, prepare_images
from trainers.data.preprocess import Step, parse_steps
from trainers.errors import DataError
from trainers.settings import parse_settings
from trainers.tasks import Task, task_from_dict
from trainers.tasks.frames import read_csv
from trainers.trained import trained_logits

SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}
PART_BYTES = 2 << 30
"""Decoded pixels on the disk at a time."""


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
        InputError: nothing there, or rows without a name.
        trainers.errors.DataError: the CSV cannot be read.
    """
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not paths:
            raise InputError(f"{source}: no images in it (looked for {', '.join(sorted(SUFFIXES))})")
        return NewImages(tuple(path.relative_to(source).as_posix() for path in paths), tuple(paths))
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    if source.suffix.lower() in SUFFIXES:
        return NewImages((source.name,), (source,))
    frame = read_csv(source)
    if id_column not in frame:
        raise InputError(f"{source}: {unknown('column', id_column, map(str, frame.columns))}; give --id")
    names = frame[id_column]
    empty = np.flatnonzero(names.isna())
    if len(empty):
        raise InputError(
            f"{source}: column {id_column!r} is empty in {len(empty)} rows (first: data row {empty[0] + 1})"
        )
    if names.empty:
        raise InputError(f"{source}: holds no rows")
    folder = root or source.parent
    return NewImages(tuple(names), tuple(folder / name for name in names))


class Sight(NamedTuple):
    """How a member sees images: size (height, width) in pixels, how they meet it, and what is done to each before."""

    size: tuple[int, int]
    resize: str
    steps: tuple[Step, ...]


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

    @property
    def sights(self) -> tuple[Sight, ...]:
        """The ways in which its members see images: more than one only where they come from several runs."""
        return tuple(dict.fromkeys(self._sight(member) for member in self.description["members"]))

    def _sight(self, member: Mapping[str, Any]) -> Sight:
        own = {**self.description, **member}  # what a member does not say holds for all
        height, width = own["image_size"]
        return Sight((height, width), own["resize"], parse_steps(own.get("preprocess")))

    def ballot(self) -> Ballot:
        """The fitted vote."""
        return Ballot.from_dict(self.description)

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
        """One row an image: id, label, its score, one score a class, votes, and `error` where it cannot be read.

        `votes` counts the configurations whose own prediction is the label. Images are decoded once, a part of at
        most `PART_BYTES` at a time, so that neither memory nor scratch space grows with their number.

        Args:
            batch_size: images at a time.
            device: torch's name; a GPU where there is one by default.
            decoders: processes that decode.
            progress: told (done, total): each image counts once decoded and once for each model.

        Raises:
            InputError: `id_column` is the name of another column of the result.
            WorkError: no room for a part's decoded images.
            trainers.errors.TrainersError: weights that are absent or damaged.
        """
        columns = ["label", "score", *(f"score_{name}" for name in self.task.label_names), "votes"]
        if id_column in (*columns, "error"):
            raise InputError(f"--id {id_column}: the result has a column of that name; rename the CSV's")
        pixels = sum(height * width for (height, width), _, _ in self.sights)
        size = max(1, PART_BYTES // (pixels * 3))
        counted = _Counter(progress, len(images.ids) * (self.models + len(self.sights)))
        frames: list[pd.DataFrame] = []
        reasons: dict[int, str] = {}
        for first in range(0, len(images.ids), size):
            paths = images.paths[first : first + size]
            frame, broken = self._part(paths, batch_size, device, decoders, counted)
            frames.append(frame.set_index(frame.index + first))
            reasons |= {first + row: reason for row, reason in broken.items()}
        found = pd.concat([frame for frame in frames if len(frame)] or frames[:1])
        result = found.reindex(index=range(len(images.ids)), columns=columns).astype({"votes": "Int64"})
        result.insert(0, id_column, images.ids)
        return result.assign(error=pd.Series(reasons, dtype="object"))

    def _part(
        self, paths: Sequence[Path], batch_size: int, device: str | None, decoders: int, counted: _Counter
    ) -> tuple[pd.DataFrame, dict[int, str]]:
        """Predictions of the images that can be read, indexed by their place, and the reasons of the others."""
        with tempfile.TemporaryDirectory(prefix="foldtune-predict-") as scratch:
            seen = {sight: _decode(sight, paths, Path(scratch), decoders, counted) for sight in self.sights}
            keep = np.logical_and.reduce([prepared.keep for prepared in seen.values()])
            rows = np.flatnonzero(keep)
            counted.skip((len(paths) - len(rows)) * self.models)
            reasons = {row: reason for prepared in seen.values() for row, reason in _reasons(prepared)}
            if not len(rows):
                return pd.DataFrame(), reasons
            scores = [
                self._member(member, seen[self._sight(member)], keep, batch_size, device, counted)
                for member in self.description["members"]
            ]
        mean, predictions = self.ballot().apply(self.task, scores)
        return self._frame(mean, predictions, scores).set_index(rows), reasons

    def _member(
        self,
        member: Mapping[str, Any],
        prepared: Prepared,
        keep: npt.NDArray[np.bool_],
        batch_size: int,
        device: str | None,
        counted: _Counter,
    ) -> npt.NDArray[Any]:
        """Mean scores (N, ...) of a configuration's fold models on the images of the mask `keep`."""
        settings = parse_settings(member["config"], self.task)
        name = str(member.get("id", member["trial_id"]))
        fold_scores = []
        for fold in range(int(self.description["folds"])):
            weights = self.directory.weights_path(name, fold)
            logits = trained_logits(
                self.task,
                settings,
                weights,
                prepared.source,
                rows=np.flatnonzero(keep[prepared.keep]),
                tta=member.get("tta"),
                batch_size=batch_size,
                device=device,
                progress=counted.work(),
            )
            fold_scores.append(self.task.scores(logits))
        return self.task.vote(fold_scores, voting="soft")[0]

    def _frame(
        self, mean: npt.NDArray[Any], predictions: npt.NDArray[Any], scores: Sequence[npt.NDArray[Any]]
    ) -> pd.DataFrame:
        """Label, score, votes of the configurations, and the score of every class."""
        votes = self.ballot().votes(self.task, scores, predictions)
        return self.task.prediction_frame(mean, predictions).assign(votes=votes)


def _decode(sight: Sight, paths: Sequence[Path], scratch: Path, decoders: int, counted: _Counter) -> Prepared:
    try:
        return prepare_images(
            paths,
            size=sight.size,
            resize=sight.resize,
            cache_dir=scratch,
            workers=decoders,
            progress=counted.work(),
            on_broken="report",
            steps=sight.steps,
        )
    except DataError as error:
        raise WorkError(f"{error} (TMPDIR names the folder for decoded images)") from None


def _reasons(prepared: Prepared) -> list[tuple[int, str]]:
    """Place and reason of each image that could not be read."""
    places = np.flatnonzero(~prepared.keep).tolist()
    return [(place, error.reason) for place, error in zip(places, prepared.broken, strict=True)]


class _Counter:
    """Adds up pieces of work, each of which counts from 0, for one bar."""

    def __init__(self, progress: Callable[[int, int], None], total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0

    def work(self) -> Callable[[int, int], None]:
        """A (done, total) callback of the next piece."""
        before = self._done

        def report(done: int, _: int) -> None:
            self._done = before + done
            self._progress(self._done, self._total)

        return report

    def skip(self, count: int) -> None:
        """Count what need not be done."""
        self._done += count
