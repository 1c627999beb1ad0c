"""The finalists on every fold, as Ray tasks: a killed one goes on from its checkpoint, a finished one stays."""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import numpy.typing as npt
import ray

from cluster.resources import TrialResources
from results.ensembledir import FoldDir
from results.store import RunStore
from search.dataset import ImagePlan, open_once
from search.training import TrialWork, resumed_fit, short_reason, store_scores
from trainers.data.table import Table
from trainers.errors import TrialFailed
from trainers.settings import TrialSettings, parse_settings
from trainers.tasks import Task
from trainers.trained import trained_logits
from trainers.weights import save_weights

PREDICT_BATCH = 256
TASK_RETRIES = 3
"""Times that Ray starts a fold again whose worker died."""


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
        full = np.empty((len(self.ids), *scores.shape[1:]), dtype=scores.dtype)
        full[self.readable] = scores
        full[~self.readable] = scores.mean(axis=0)
        return full


@dataclass(frozen=True)
class FoldWork:
    """What all folds of an ensemble share."""

    trial: TrialWork
    test: Unlabelled | None


@dataclass(frozen=True)
class FoldOutcome:
    """A fold model that is ready, or why it is not.

    Attributes:
        value: the run's metric on the fold's validation rows, None where it failed.
        reused: the model is the search's own.
    """

    trial_id: str
    fold: int
    value: float | None
    reused: bool = False
    error: str | None = None


def train_folds(work: FoldWork, pairs: Sequence[tuple[str, int]], resources: TrialResources) -> Iterator[FoldOutcome]:
    """Train (trial id, fold) pairs in the connected Ray session; gives each outcome as it comes.

    A pair whose result is on disk costs a look. What runs when the iterator is left ends with the session: cancelling
    it by force in the moment in which a task ends aborts the driver (Ray 2.60).
    """
    task = ray.remote(_fold_task).options(num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=TASK_RETRIES)
    shared = ray.put(work)
    pending = {task.remote(shared, trial_id, fold): (trial_id, fold) for trial_id, fold in pairs}
    while pending:
        ready, _ = ray.wait(list(pending), num_returns=1)
        trial_id, fold = pending.pop(ready[0])
        try:
            yield ray.get(ready[0])
        except ray.exceptions.RayError as error:
            yield FoldOutcome(trial_id, fold, None, error=f"its worker died: {short_reason(error)}")


def _fold_task(work: FoldWork, trial_id: str, fold: int) -> FoldOutcome:
    directory = RunStore(Path(work.trial.root)).ensemble.member(trial_id, fold)
    try:
        return _ready(work, trial_id, fold, directory)
    except Exception as error:
        with suppress(OSError):
            directory.write_error(traceback.format_exc())
        return FoldOutcome(trial_id, fold, None, error=short_reason(error))


def _ready(work: FoldWork, trial_id: str, fold: int, directory: FoldDir) -> FoldOutcome:
    """Bring one fold model to its end: weights, validation scores, test scores, then the marker."""
    store = RunStore(Path(work.trial.root))
    labelled = work.trial.labelled
    stored = store.find_trial(trial_id).record()
    if stored is None:
        raise TrialFailed(f"trial {trial_id} has no configuration on disk")
    settings = parse_settings(stored.config, labelled.task)
    weights = store.ensemble.weights_path(trial_id, fold)
    result = directory.result()
    if result is None or not (weights.is_file() and directory.scores_path.is_file()):
        # A stopped trial's model has not seen the end of its lr schedule; its other folds will.
        whole = fold == work.trial.fold and stored.status == "COMPLETE"
        reused = whole and _reuse(store, trial_id, directory, weights)
        value = stored.value(work.trial.metric) if reused else None
        if value is None:
            value = _train(work.trial, settings, fold, directory, weights)
        result = {"value": value, "reused": reused}
        directory.finish(result)
        directory.checkpoint_path.unlink(missing_ok=True)
    if work.test is not None and directory.read_test_logits(work.test.table.ids) is None:
        logits = _predict(settings, labelled.task, weights, work.test)
        directory.write_test_logits(work.test.table.ids, logits)
    return FoldOutcome(trial_id, fold, result["value"], reused=result["reused"])


def _reuse(store: RunStore, trial_id: str, directory: FoldDir, weights: Path) -> bool:
    """Take over the search's own model of its fold, where its weights and scores are still there."""
    trial = store.trial(trial_id)
    scores = trial.read_scores()
    if scores is None or not trial.weights_path.is_file():
        return False
    link_whole(trial.weights_path, weights)
    directory.write_scores(ids=scores.ids, logits=scores.logits, targets=scores.targets, epoch=scores.epoch)
    return True


def link_whole(source: Path, target: Path) -> None:
    """Give a file that nobody changes in place a second name, whole or absent; where links cannot be, copy it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    part.unlink(missing_ok=True)
    try:
        os.link(source, part)
    except OSError:
        copyfile(source, part)
    part.replace(target)
    part.unlink(missing_ok=True)  # renaming one name of a file to another of its names does nothing


def _train(work: TrialWork, settings: TrialSettings, fold: int, directory: FoldDir, weights: Path) -> float:
    fit = resumed_fit(work, settings, fold, directory.checkpoint_path)
    try:
        while not fit.done:
            fit.step()
            if not fit.done:
                fit.save(directory.checkpoint_path)
        best = fit.best
        if best is None:
            raise TrialFailed("no epoch was run")
        save_weights(fit.best_weights(), weights)
        store_scores(directory, fit, best.epoch)
        return best.value
    finally:
        fit.close()


def _predict(settings: TrialSettings, task: Task, weights: Path, test: Unlabelled) -> npt.NDArray[np.float32]:
    source = open_once(test.table.paths, test.images)
    return trained_logits(task, settings, weights, source, batch_size=PREDICT_BATCH)
