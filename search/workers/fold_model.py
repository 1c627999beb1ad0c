"""One fold's model of a member: taken over where it exists, else trained, and what it says of rows. No Ray.

A fold model's folder holds what was found (scores, marker), the ensemble's `weights` the model itself. What a model
says under other test-time views than its configuration's is stored beside, by the name of the views.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from functools import partial
from hashlib import sha256
from shutil import copyfile
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import TrialFailed
from foldtune.results.runs.ensemble_dir import EnsembleDir, FoldDir
from foldtune.results.runs.records import Scores, TrialRecord
from foldtune.results.runs.store import RunStore
from foldtune.results.runs.trial_dir import FitDir
from foldtune.results.storage.files import copy_whole, is_file, json_text, read_locally, remove_file, save_file
from foldtune.results.storage.paths import StorePath, address, as_path
from foldtune.search.runs.dataset import ImagePlan, open_once
from foldtune.search.workers.fold_training import train_fold
from foldtune.search.workers.training import TrialWork
from foldtune.trainers.arrays.lazy import concatenate, sum_rows
from foldtune.trainers.data.cache import ImageSource
from foldtune.trainers.data.preprocess import steps_to_list
from foldtune.trainers.data.table import Table
from foldtune.trainers.fitting.evaluator import Judge
from foldtune.trainers.inference.options import InferenceOptions
from foldtune.trainers.inference.trained import trained_logits
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.parsing import parse_settings

PREDICT_BATCH = 256


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """Rows to submit, and how to open their images.

    Attributes:
        table: the rows whose images can be read.
        images: how to open them.
        ids: (T,) every row to submit, in the order of the CSV.
        readable: (T,) mask of those in `table`.
    """

    table: Table
    images: ImagePlan
    ids: npt.NDArray[np.str_]
    readable: npt.NDArray[np.bool_]

    def complete(self, scores: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Scores (T, ...) of every row from those of `table`: an unreadable image gets the mean of the others."""
        if self.readable.all():
            return scores
        mean = np.asarray(sum_rows(scores) / len(scores), dtype=scores.dtype)
        places = np.where(self.readable, np.cumsum(self.readable) - 1, len(scores))  # the mean is behind the others
        completed: npt.NDArray[Any] = concatenate([scores, mean[None]])[places]
        return completed


@dataclass(frozen=True)
class FoldWork:
    """What all folds of one run's members share.

    Attributes:
        trial: how the run trains.
        test: rows to submit.
        home: address of the ensemble's folder, which need not be the run's own.
        tta: views in which the models see images, None for each configuration's own.
    """

    trial: TrialWork
    test: Unlabelled | None
    home: str
    tta: str | None = None


@dataclass(frozen=True)
class FoldJob:
    """One fold's model of one member.

    Attributes:
        member: id of the member in the ensemble.
        run: name of the run whose trial it is.
        trial_id: of that run.
        model: whether the model itself is wanted; a race needs its validation scores alone.
        test: whether its test scores are wanted.
    """

    member: str
    run: str
    trial_id: str
    fold: int
    model: bool = True
    test: bool = True


@dataclass(frozen=True)
class FoldOutcome:
    """A fold model that is ready, or why it is not.

    Attributes:
        value: the run's metric on the fold's validation rows, None where it failed.
        reused: the model is the search's own.
    """

    member: str
    fold: int
    value: float | None
    reused: bool = False
    error: str | None = None


class _Place:
    """Where a fold model lies, and what of it is there.

    Attributes:
        own: what was found by the configuration's own views.
        seen: the same by the views asked for.
        result: the marker, None where the model has to be made.
    """

    def __init__(self, work: FoldWork, job: FoldJob) -> None:
        home = EnsembleDir(as_path(work.home))
        self.store = RunStore(work.trial.root)
        record = self.store.find_trial(job.trial_id).record()
        if record is None:
            raise TrialFailed(f"trial {job.trial_id} has no configuration on disk")
        self.record = record
        self.settings = parse_settings(record.config, work.trial.labelled.task)
        self.weights, self.own = home.weights_path(job.member, job.fold), home.member(job.member, job.fold)
        self.seen = self.own.with_tta(views_of(work.tta, self.settings))
        self.test = work.test if job.test else None
        self.made_of = _made_of(work.trial, record)
        self.result = self._stored_result(job)

    def _stored_result(self, job: FoldJob) -> dict[str, Any] | None:
        result = self.own.result()
        if result is None or result.get("made_of", self.made_of) != self.made_of or not is_file(self.own.scores_path):
            return None
        return result if is_file(self.weights) or (not job.model and self.told) else None

    @property
    def told(self) -> bool:
        """All that is asked of the model is written down."""
        return is_file(self.seen.scores_path) and self.test_told

    @property
    def test_told(self) -> bool:
        return self.test is None or self.seen.read_test_logits(self.test.table.ids) is not None


class Lack(Enum):
    """What `make_ready` has to do before a fold model is ready."""

    TRAINING = "to train"
    TAKING_OVER = "to take over"
    ASKING = "to ask"


def look(work: FoldWork, job: FoldJob) -> FoldOutcome | Lack:
    """A fold model that is ready, or what is yet to be done; no model is trained or asked.

    Raises:
        TrialFailed: the trial is gone.
    """
    place = _Place(work, job)
    if place.result is not None:
        return _outcome(work, job, place, place.result) if place.told else Lack.ASKING
    found = _elsewhere(work.trial, place.store, place.record, job.fold, place.own)
    there = any(is_file(source.scores_path) and is_file(weights) for source, weights, _ in found)
    return Lack.TAKING_OVER if there else Lack.TRAINING


def make_ready(work: FoldWork, job: FoldJob) -> FoldOutcome:
    """Bring one fold model to its end: weights, validation scores, marker, test scores. What is there is kept.

    Raises:
        TrialFailed: the training cannot work; other errors of the trainer pass through.
    """
    place = _Place(work, job)
    settings, weights, own = place.settings, place.weights, place.own
    result = place.result
    if result is None:
        own.clear()
        model = _model(work.trial, place.store, place.record, settings, job.fold, own, weights)
        result = model | {"made_of": place.made_of}
        own.finish(result)
        remove_file(own.checkpoint_path)
    outcome = _outcome(work, job, place, result)
    if place.test is not None and not place.test_told:
        table = place.test.table
        source = open_once(table.paths, place.test.images)
        place.seen.write_test_logits(table.ids, _logits(work, settings, weights, source, np.arange(len(source))))
    return outcome


def _outcome(work: FoldWork, job: FoldJob, place: _Place, result: Mapping[str, Any]) -> FoldOutcome:
    """What a made model is worth by the views asked for; its scores by these are made where they are missing."""
    value = result["value"]
    if place.seen is not place.own:
        value = _value_as_seen(work, place.settings, job.fold, place.weights, place.seen)
    return FoldOutcome(job.member, job.fold, value, reused=bool(result["reused"]))


def views_of(tta: str | None, settings: TrialSettings) -> str | None:
    """The views asked for where they are others than the configuration's own, else None."""
    return None if tta in (None, settings.tta) else tta


def _made_of(work: TrialWork, record: TrialRecord) -> str:
    """What a fold model depends on beside its rows, in short: a run of the same name may be another one by now."""
    images = work.labelled.images
    plan = [list(images.size), images.resize, steps_to_list(images.steps)]
    text = json_text([record.config, plan, work.metric, work.epochs, work.seed])
    return sha256(text.encode()).hexdigest()[:16]


def _model(
    work: TrialWork,
    store: RunStore,
    record: TrialRecord,
    settings: TrialSettings,
    fold: int,
    directory: FoldDir,
    weights: StorePath,
) -> dict[str, Any]:
    """The result of a fold model: the search's own, one of the run's own ensemble, or a newly trained one."""
    for source, path, result in _elsewhere(work, store, record, fold, directory):
        if _take(source.read_scores(), path, directory, weights):
            return result
    return {"value": train_fold(work, settings, fold, directory, weights), "reused": False}


def _elsewhere(
    work: TrialWork, store: RunStore, record: TrialRecord, fold: int, directory: FoldDir
) -> Iterator[tuple[FitDir, StorePath, dict[str, Any]]]:
    """Where a finished model may be taken from, its weights, and its result."""
    # A stopped trial's model has not seen the end of its lr schedule; its other folds will.
    if fold == work.fold and record.status == "COMPLETE":
        trial = store.trial(record.trial_id)
        yield trial, trial.weights_path, {"value": record.value(work.metric), "reused": True}
    theirs = store.ensemble.member(record.trial_id, fold)
    result = None if address(theirs.root) == address(directory.root) else theirs.result()
    if result is not None:
        weights = store.ensemble.weights_path(record.trial_id, fold)
        yield theirs, weights, {"value": result["value"], "reused": result["reused"]}


def _take(scores: Scores | None, source: StorePath, directory: FoldDir, weights: StorePath) -> bool:
    """Take over a finished model where its weights and scores are still there."""
    if scores is None or not is_file(source):
        return False
    if type(source) is type(weights):
        copy_whole(source, weights)  # a second name where links can be, which takes no room
    else:
        with read_locally(source) as local:
            assert local is not None
            save_file(weights, partial(copyfile, local))
    directory.write_scores(ids=scores.ids, logits=scores.logits, targets=scores.targets, epoch=scores.epoch)
    return True


def _value_as_seen(work: FoldWork, settings: TrialSettings, fold: int, weights: StorePath, seen: FoldDir) -> float:
    """The metric under other views than the configuration's own, by its own post-processing; stores the scores."""
    labelled = work.trial.labelled
    data = labelled.fold(fold, open_once(labelled.table.paths, labelled.images))
    rows, stored = data.valid_rows, seen.read_scores()
    if stored is None:
        logits = _logits(work, settings, weights, data.images, rows)
        seen.write_scores(ids=data.ids[rows], logits=logits, targets=data.targets[rows], epoch=0)
    else:
        logits = stored.logits
    task = labelled.task.for_training(data.targets[data.train_rows])
    judge = Judge(task, data, work.trial.metric, settings.postprocess)
    return judge.metrics(logits, epoch=0)[work.trial.metric]


def _logits(
    work: FoldWork, settings: TrialSettings, weights: StorePath, source: ImageSource, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """What a stored model says of some rows of a source, under the views asked for."""
    with read_locally(weights) as local:
        if local is None:
            raise TrialFailed(f"{weights} is gone; run the command again")
        task = work.trial.labelled.task
        own = InferenceOptions.of_settings(task, settings)
        options = replace(own, tta=work.tta or settings.tta, batch_size=PREDICT_BATCH)
        return trained_logits(task, settings, local, source, rows, options)
