"""Predictions of a stored ensemble on new images, from its folder alone. No Ray."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import InputError, RunCorrupt, WorkError
from foldtune.files import scratch_folder
from foldtune.results.records.stored_json import require
from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.results.storage.paths import StorePath
from foldtune.search.checks.submission_columns import SubmissionForm
from foldtune.search.predict.case_columns import of_units, partly_read, whole_cases
from foldtune.search.predict.description import (
    REQUIRED,
    REQUIRED_TO_PREDICT,
    check_description,
    check_members,
)
from foldtune.search.predict.members import (
    PredictOptions,
    StoredMembers,
    SubtaskProgress,
    decode_images,
    member_id,
    unreadable_images,
)
from foldtune.search.predict.new_images import NewImages, find_images
from foldtune.search.predict.tables import finite_rows, original_image_sizes
from foldtune.search.runs.stored_task import read_task
from foldtune.search.voting.columns import Columns, Kind
from foldtune.search.voting.combiner import EnsembleCombiner
from foldtune.trainers.arrays.lazy import sum_rows
from foldtune.trainers.arrays.voting import mean_scores
from foldtune.trainers.loading.tta import TTA
from foldtune.trainers.postprocess.case_scores import Cases
from foldtune.trainers.tasks import Task
from foldtune.wording import unknown

__all__ = ["NewImages", "PredictOptions", "StoredEnsemble", "find_images"]

PART_BYTES = 2 << 30
"""Bytes of decoded pixels on the disk at a time."""

NOT_FINITE = "its scores are not finite: the ensemble's weights are damaged, or its numbers too large"
"""Reason of an image without a prediction."""

MAPS = 64
"""Images at a time for a task whose scores are maps, so that few maps are in memory at once."""

Render: TypeAlias = Callable[
    [npt.NDArray[Any], npt.NDArray[Any], Sequence[npt.NDArray[Any]], Sequence[Path]], pd.DataFrame
]
"""(scores, predictions, each member's scores, files) of R images, arrays (R, ...) -> R rows of a table."""

OnPredicted: TypeAlias = Callable[[Sequence[Path], npt.NDArray[Any]], None]
"""Callback with the files of R images and their predictions (R, ...)."""


Progress: TypeAlias = Callable[[int, int], None]


@dataclass(frozen=True)
class StoredEnsemble:
    """An ensemble read back from its folder."""

    directory: EnsembleDir
    description: Mapping[str, Any]
    task: Task

    @classmethod
    def open(cls, root: StorePath, *, to_predict: bool = True) -> StoredEnsemble:
        """Open the folder of an ensemble, or of a run that holds one.

        Args:
            to_predict: whether its models are to be used, and so must be described in full.

        Raises:
            RunNotFound: there is none.
            RunCorrupt: it cannot be read.
        """
        inner = root / "ensemble"
        directory = EnsembleDir.open(inner if EnsembleDir(inner).exists() else root)
        description = directory.read()
        if description is None:
            raise RunCorrupt(f"{directory.json_path} is gone")
        require(description, REQUIRED, directory.json_path)
        task = read_task(description["task"], directory.json_path)
        check_description(description, task, directory.json_path)
        if to_predict:
            require(description, REQUIRED_TO_PREDICT, directory.json_path)
            check_members(description, task, directory.json_path)
        return cls(directory, description, task)

    @cached_property
    def members(self) -> StoredMembers:
        """Return its fold models."""
        return StoredMembers(self.directory, self.description, self.task)

    @property
    def columns(self) -> Mapping[str, Kind]:
        """Columns beside the images that its vote takes."""
        stacker = self.combiner().stacker
        return {} if stacker is None else stacker.kinds

    @property
    def encoding(self) -> str | None:
        """Encoding of its run's tables, which tables of new images and samples share; None for UTF-8."""
        given = self.description.get("encoding")
        try:
            "".encode(given if isinstance(given, str) else "utf-8")
        except (LookupError, ValueError):
            return None
        return given if isinstance(given, str) else None

    def combiner(self) -> EnsembleCombiner:
        """Return the fitted vote."""
        return self.members.combiner()

    def with_tta(self, tta: str) -> StoredEnsemble:
        """Return the same ensemble with the test-time views `tta`, a name of `trainers.loading.tta`.

        Raises:
            InputError: unknown views.
        """
        if tta not in TTA:
            raise InputError(f"--tta: {unknown('views', tta, TTA)}")
        members = [{**member, "tta": tta} for member in self.description["members"]]
        return replace(self, description={**self.description, "members": members})

    def predict(
        self,
        images: NewImages,
        options: PredictOptions,
        progress: Progress,
        *,
        id_column: str = "image",
        on_predicted: OnPredicted | None = None,
    ) -> pd.DataFrame:
        """Return one row an image or case: id, label, its score, one score a class, votes, `error` without prediction.

        `votes` counts the configurations whose own prediction is the label. Images are decoded once, a part of at
        most `PART_BYTES` at a time, so that neither memory nor scratch space grows with their number.

        Args:
            progress: callback (done, total); each image counts once a preprocessing and once a model.
            on_predicted: callback with the readable images and their predictions, a part at a time.

        Raises:
            InputError: `id_column` is the name of another column of the result.
            WorkError: no room for a part's decoded images, or damaged weights.
            RunCorrupt: weights are missing.
        """
        columns = [*self.task.prediction_frame(*self._empty_outputs()).columns, "votes"]
        if id_column in (*columns, "error"):
            raise InputError(f"--id {id_column}: the result has a column of that name; rename the CSV's")

        def render(
            mean: npt.NDArray[Any],
            predictions: npt.NDArray[Any],
            scores: Sequence[npt.NDArray[Any]],
            paths: Sequence[Path],
        ) -> pd.DataFrame:
            if on_predicted is not None:
                on_predicted(paths, predictions)
            return self._frame(mean, predictions, scores, paths)

        found, reasons = self._parts(images, options, SubtaskProgress(progress, self._subtasks(images)), render)
        result = found.reindex(index=range(len(images.judged)), columns=columns).astype({"votes": "Int64"})
        result.insert(0, id_column, images.judged)
        return result.assign(error=pd.Series(reasons, dtype="object"))

    def submission(
        self,
        images: NewImages,
        form: SubmissionForm,
        options: PredictOptions,
        progress: Progress,
    ) -> tuple[pd.DataFrame, Mapping[str, str]]:
        """Return the rows of a submission, and by id the reasons why images cannot be read.

        An unreadable image gets the mean of the others' scores, as in the submission of `foldtune ensemble`.

        Args:
            form: form of the sample; other arguments are those of `predict`.

        Raises:
            WorkError: no room for decoded images, no readable image, damaged weights, or scores that are not finite.
            DataError: columns that the task cannot fill.
            RunCorrupt: weights are missing.
        """
        no_scores, no_predictions = self._empty_outputs()
        # Wrong columns are refused before anything is decoded.
        form.fill(self.task, [], no_predictions, scores=no_scores)
        sums: list[npt.NDArray[Any]] = [np.zeros(())] * len(self.description["members"])

        def render(
            mean: npt.NDArray[Any],
            predictions: npt.NDArray[Any],
            scores: Sequence[npt.NDArray[Any]],
            paths: Sequence[Path],
        ) -> pd.DataFrame:
            sums[:] = [before + sum_rows(own) for before, own in zip(sums, scores, strict=True)]
            sizes = original_image_sizes(self.task, paths)
            return form.fill(self.task, [""] * len(mean), predictions, scores=mean, image_sizes=sizes)

        found, reasons = self._parts(images, options, SubtaskProgress(progress, self._subtasks(images)), render)
        names = images.judged
        if strange := [names[row] for row, reason in reasons.items() if reason == NOT_FINITE]:
            raise WorkError(f"{len(strange)} of {len(names)} images (first: {strange[0]}): {NOT_FINITE}")
        if found.empty:
            raise WorkError(f"none of the {len(names)} images can be read (first: {names[0]}: {reasons[0]})")
        if reasons:
            mean, predictions = self.combiner().apply(self.task, [each[None] / len(found) for each in sums])
            filled = form.fill(self.task, [""], predictions, scores=mean)
            found = pd.concat([found, *(filled.set_index(pd.Index([row])) for row in reasons)]).sort_index()
        return found.assign(**{form.id_column: names}), {names[row]: reason for row, reason in reasons.items()}

    def _empty_outputs(self) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Scores and predictions of zero images."""
        scores = self.task.scores(np.zeros((0, self.task.head_size), dtype=np.float32))
        return scores, self.task.predict(scores)

    def _subtasks(self, images: NewImages) -> int:
        """Units of progress: one an image and preprocessing, and one an image and model."""
        return len(images.ids) * (self.members.models + len(self.members.preprocessings))

    def _parts(
        self, images: NewImages, options: PredictOptions, progress: SubtaskProgress, render: Render
    ) -> tuple[pd.DataFrame, dict[int, str]]:
        """Rows of `render` for what can be judged, by its place in `images.judged`, and the reasons of the others."""
        self.members.check_weights()
        pixels = sum(each.size[0] * each.size[1] for each in self.members.preprocessings)
        size = max(1, min(PART_BYTES // (pixels * 3), MAPS if self.task.has_spatial_targets else len(images.ids)))
        frames: list[pd.DataFrame] = []
        reasons: dict[int, str] = {}
        for part in whole_cases(images.units, size):
            units = images.units[part]
            own = None if images.cases is None else units
            columns = images.columns
            if columns is not None and own is None:  # else they are those of the cases, by their place
                columns = columns.select(part)
            frame, broken = self._part(images.paths[part], columns, options, progress, render, own)
            frames.append(frame if own is not None else frame.set_index(frame.index + part.start))
            reasons |= {int(units[row]) if own is None else row: reason for row, reason in broken.items()}
        return pd.concat([frame for frame in frames if len(frame)] or frames[:1]), reasons

    def _part(
        self,
        paths: Sequence[Path],
        columns: Columns | None,
        options: PredictOptions,
        progress: SubtaskProgress,
        render: Render,
        units: npt.NDArray[np.int64] | None,
    ) -> tuple[pd.DataFrame, dict[int, str]]:
        """Rows of `render` by place in `paths`, or by unit of `units` (N,), and reasons of what has no prediction."""
        with scratch_folder("predict") as scratch:
            decoded = {
                each: decode_images(paths, each, scratch, options.decoders, progress)
                for each in self.members.preprocessings
            }
            if options.on_one_colour is not None:
                for prepared in decoded.values():
                    options.on_one_colour(prepared.one_colour)
            keep = np.logical_and.reduce([prepared.keep for prepared in decoded.values()])
            rows = np.flatnonzero(keep)
            progress.skip((len(paths) - len(rows)) * self.members.models)
            reasons = {row: reason for prepared in decoded.values() for row, reason in unreadable_images(prepared)}
            if not len(rows):
                return pd.DataFrame(), of_units(reasons, units, rows)
            model_scores = {
                name: self.members.scores(
                    member,
                    decoded[self.members.preprocessing(member)],
                    keep,
                    options,
                    progress,
                    each_model=units is not None,
                )
                for name, member in self.members.voters.items()
            }
        finite = np.logical_and.reduce([finite_rows(self.task, each) for own in model_scores.values() for each in own])
        if not finite.all():
            reasons |= dict.fromkeys(rows[~finite].tolist(), NOT_FINITE)
            rows = rows[finite]
            model_scores = {name: [each[finite] for each in own] for name, own in model_scores.items()}
            if not len(rows):
                return pd.DataFrame(), of_units(reasons, units, rows)
        files = [paths[row] for row in rows.tolist()]
        if units is not None and options.on_partly_read is not None:
            options.on_partly_read(partly_read(reasons, units, rows, paths))
        reasons = of_units(reasons, units, rows)
        if units is not None:
            cases = Cases.of(units[rows].astype(str))
            # As the ensemble's own scores of cases: those of each model are reduced, then averaged.
            model_scores = {
                name: [
                    cases.reduce(each, self.members.case_reduce(name), exclusive=self.task.exclusive_classes)
                    for each in own
                ]
                for name, own in model_scores.items()
            }
            rows, files = cases.names.astype(np.int64), [files[row] for row in cases.first.tolist()]
        voter_scores = {name: own[0] if len(own) == 1 else mean_scores(own) for name, own in model_scores.items()}
        one = next(iter(voter_scores.values()))
        unweighted = np.broadcast_to(np.zeros((), dtype=one.dtype), one.shape)  # a member of weight 0 changes nothing
        scores = [voter_scores.get(member_id(member), unweighted) for member in self.description["members"]]
        own = None if columns is None else columns.select(rows)
        mean, predictions = self.combiner().apply(self.task, scores, own)
        return render(mean, predictions, scores, files).set_index(rows), reasons

    def _frame(
        self,
        mean: npt.NDArray[Any],
        predictions: npt.NDArray[Any],
        scores: Sequence[npt.NDArray[Any]],
        paths: Sequence[Path],
    ) -> pd.DataFrame:
        """Label, score, votes of the members, and the score of every class."""
        votes = self.combiner().votes(self.task, scores, predictions)
        frame = self.task.prediction_frame(mean, predictions, image_sizes=original_image_sizes(self.task, paths))
        return frame.assign(votes=votes)
