"""One fold's model of a member: reused where it exists, else trained, and its predictions. No Ray.

A fold model's folder holds its scores and a marker, the ensemble's `weights` the model itself. Scores under other
test-time views than its configuration's are stored beside, by the name of the views.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import RunCorrupt, TrialFailed, WorkError
from foldtune.results.runs.ensemble_dir import ALL_ROWS, EnsembleDir
from foldtune.results.runs.store import RunStore
from foldtune.results.runs.trial_dir import FitDir
from foldtune.results.storage.files import copy_whole, is_file, read_locally, remove_file, save_file
from foldtune.results.storage.paths import StorePath, address, as_path
from foldtune.search.data.dataset import open_once
from foldtune.search.workers.fold_job import FoldJob, FoldModelStatus, FoldOutcome, FoldWork
from foldtune.search.workers.training import agrees, has_labels, is_made_of, settings_digest, train_all, train_fold
from foldtune.trainers.fitting.evaluator import Evaluator
from foldtune.trainers.images.cache import ImageSource
from foldtune.trainers.inference.predictor import InferenceOptions
from foldtune.trainers.inference.trained import trained_logits
from foldtune.trainers.networks.weights import load_weights
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.parsing import parse_settings

_log = logging.getLogger("foldtune.ensemble")

PREDICT_BATCH = 256
"""Images at a time."""


@dataclass(frozen=True)
class _Reusable:
    """A finished model of the same fold elsewhere: its scores, its weights, and the marker of a copy of it."""

    directory: FitDir
    weights: StorePath
    result: dict[str, Any]

    def exists(self) -> bool:
        return is_file(self.directory.scores_path) and is_file(self.weights)


class _FoldModel:
    """Paths of one model and what exists of it.

    Attributes:
        held_out: whether there are rows that it is not trained on, whose scores are stored.
        directory: scores under the configuration's own views, and the marker.
        views_directory: scores under the views of `FoldWork.tta`; the same folder where these are its own.
        result: content of the marker, None where the model has to be made.
    """

    def __init__(self, work: FoldWork, job: FoldJob) -> None:
        home = EnsembleDir(as_path(work.home))
        self._work, self._job = work, job
        self._store = RunStore(work.trial.root)
        record = self._store.find_trial(job.trial_id).record()
        if record is None:
            raise TrialFailed(f"trial {job.trial_id} has no configuration on disk")
        self._record = record
        self.settings = parse_settings(record.config, work.trial.labelled.task)
        self.held_out = job.fold != ALL_ROWS
        self.weights = home.weights_path(job.member, job.fold, job.seed)
        self.directory = home.member(job.member, job.fold, job.seed)
        self.views_directory = self.directory.with_tta(views_of(work.tta, self.settings))
        self.test = work.test if job.test else None
        self._trial = replace(work.trial, seed=work.trial.seed + job.seed)
        self._made_of = self._digest()
        self.result = self._stored_result()
        if self.result is None and work.epochs is not None and not any(each.exists() for each in self.find_reusable()):
            self._trial = replace(self._trial, epochs=work.epochs)
            self._made_of = self._digest()
            self.result = self._stored_result()

    def _digest(self) -> str:
        digest = settings_digest(self._trial, self._record.config)
        return digest if self.held_out else f"{digest}, {self._job.epochs} epochs"

    def _stored_result(self) -> dict[str, Any] | None:
        """Content of the marker of a whole model; of a damaged one a line is logged, and it is made again."""
        try:
            return self._whole_result()
        except (RunCorrupt, WorkError) as error:
            job = self._job
            _log.warning("fold %d of trial %s is made again: %s", job.fold, job.member, error)
            return None

    def _whole_result(self) -> dict[str, Any] | None:
        result = self.directory.result()
        if result is None or not self._is_made_of(result):
            return None
        if self.held_out and not is_file(self.directory.scores_path):
            return None
        self.directory.read_scores()  # raises where they are damaged
        if is_file(self.weights):
            if isinstance(self.weights, Path):  # of an object store they would have to be fetched
                load_weights(self.weights)
            return result
        return result if not self._job.model and self.has_predictions else None

    def _is_made_of(self, result: Mapping[str, Any]) -> bool:
        """Whether a marker is of these settings and rows."""
        same_settings = result.get("made_of", self._made_of) == self._made_of
        return same_settings and agrees(result.get("rows"), self._work.trial.labelled.digest)

    @property
    def has_predictions(self) -> bool:
        """All wanted scores are stored."""
        scored = not self.held_out or is_file(self.views_directory.scores_path)
        return scored and self.has_test_predictions

    @property
    def has_test_predictions(self) -> bool:
        """The test scores are stored, or not wanted."""
        return self.test is None or self.test.stored_logits(self.views_directory) is not None

    def make(self) -> dict[str, Any]:
        """Reuse a finished model or train one; return its marker, which is stored."""
        self.directory.clear()
        reused = next((each for each in self.find_reusable() if self._reuse(each)), None)
        result = self._train() if reused is None else reused.result
        result = {**result, "made_of": self._made_of, "rows": self._work.trial.labelled.digest}
        self.directory.finish(result)
        remove_file(self.directory.checkpoint_path)
        return result

    def _train(self) -> dict[str, Any]:
        job, files = self._job, (self.directory, self.weights)
        if job.epochs is not None:
            train_all(self._trial, self.settings, job.epochs, *files)
            return {"value": None, "reused": False, "epochs": job.epochs}
        return {"value": train_fold(self._trial, self.settings, job.fold, *files), "reused": False}

    def find_reusable(self) -> Iterator[_Reusable]:
        """Give the search's own model of this fold, then that of the run's own ensemble."""
        trial_id, fold, metric = self._record.trial_id, self._job.fold, self._work.trial.metric
        # A stopped trial's model has not seen the end of its lr schedule; its other folds will.
        own = fold == self._work.trial.fold and self._job.seed == 0
        if own and (self._record.status == "COMPLETE" or self._work.as_searched):
            trial = self._store.trial(trial_id)
            if is_made_of(trial.made_of(), self._work.trial, self._record.config):
                yield _Reusable(trial, trial.weights_path, {"value": self._record.value(metric), "reused": True})
        other = self._store.ensemble.member(trial_id, fold, self._job.seed)
        result = None if address(other.root) == address(self.directory.root) else other.result()
        if result is not None and self._is_made_of(result):
            weights = self._store.ensemble.weights_path(trial_id, fold, self._job.seed)
            yield _Reusable(other, weights, {"value": result["value"], "reused": result["reused"]})

    def _reuse(self, model: _Reusable) -> bool:
        """Copy a finished model where its weights and scores still exist, whole; return whether they do."""
        try:
            scores = model.directory.read_scores()
            if isinstance(model.weights, Path) and is_file(model.weights):
                load_weights(model.weights)
        except (RunCorrupt, WorkError) as error:
            _log.warning("fold %d of trial %s is trained anew: %s", self._job.fold, self._job.member, error)
            return False
        if scores is None or not is_file(model.weights) or not has_labels(scores, self._work.trial.labelled.table):
            return False
        if type(model.weights) is type(self.weights):
            copy_whole(model.weights, self.weights)  # a hard link where possible, which takes no room
        else:
            with read_locally(model.weights) as local:
                assert local is not None
                save_file(self.weights, partial(copyfile, local))
        self.directory.write_scores(scores.ids, scores.logits, scores.targets, scores.epoch, scores.cases)
        return True


def status(work: FoldWork, job: FoldJob) -> FoldOutcome | FoldModelStatus:
    """Return the outcome of a finished fold model, or what is yet to be done; nothing is trained or predicted.

    Raises:
        TrialFailed: the trial's folder is missing.
    """
    model = _FoldModel(work, job)
    if model.result is not None:
        return _outcome(work, job, model, model.result) if model.has_predictions else FoldModelStatus.TO_PREDICT
    reusable = any(each.exists() for each in model.find_reusable())
    return FoldModelStatus.TO_REUSE if reusable else FoldModelStatus.TO_TRAIN


def ensure_trained(work: FoldWork, job: FoldJob) -> FoldOutcome:
    """Make what is missing of one fold model: weights, validation scores, marker, test scores.

    Raises:
        TrialFailed: the trial's folder is missing, or the training cannot work.
        FoldtuneError: other errors of the trainer.
    """
    model = _FoldModel(work, job)
    outcome = _outcome(work, job, model, model.make() if model.result is None else model.result)
    if model.test is not None and not model.has_test_predictions:
        table = model.test.table
        source = open_once(table.paths, model.test.images, model.test.digest)
        logits = _predict(work, model, source, np.arange(len(source)))
        model.views_directory.write_test_logits(table.ids, logits, model.test.digest)
    return outcome


def _outcome(work: FoldWork, job: FoldJob, model: _FoldModel, result: Mapping[str, Any]) -> FoldOutcome:
    """The value under the wanted views; the scores under these are stored where they are missing."""
    value = result["value"]
    if model.held_out and model.views_directory is not model.directory:
        value = _value_under_views(work, job.fold, model)
    return FoldOutcome(job.member, job.fold, value, reused=bool(result["reused"]), seed=job.seed)


def views_of(tta: str | None, settings: TrialSettings) -> str | None:
    """Return the test-time views `tta` where they differ from the configuration's own, else None."""
    return None if tta in (None, settings.tta) else tta


def _value_under_views(work: FoldWork, fold: int, model: _FoldModel) -> float:
    """The metric under other views than the configuration's own, with its own post-processing; stores the scores."""
    labelled, directory = work.trial.labelled, model.views_directory
    data = labelled.fold(fold, open_once(labelled.table.paths, labelled.images, labelled.digest))
    rows, stored = data.valid_rows, directory.read_scores()
    if stored is None:
        logits = _predict(work, model, data.images, rows)
        cases = None if data.cases is None else data.cases[rows]
        directory.write_scores(data.ids[rows], logits, data.targets[rows], 0, cases)
    else:
        logits = stored.logits
    task = labelled.task.for_training(data.targets[data.train_rows])
    evaluator = Evaluator(task, data, work.trial.metric, model.settings.postprocess)
    return evaluator.metrics(logits, epoch=0)[work.trial.metric]


def _predict(
    work: FoldWork, model: _FoldModel, source: ImageSource, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """Logits (R, ...) of a stored model on R rows of a source, under the wanted views."""
    with read_locally(model.weights) as local:
        if local is None:
            raise TrialFailed(f"{model.weights} is gone; run the command again")
        own = InferenceOptions.of_settings(work.trial.labelled.task, model.settings)
        options = replace(own, tta=work.tta or model.settings.tta, batch_size=PREDICT_BATCH)
        return trained_logits(work.trial.labelled.task, model.settings, local, source, rows, options)
