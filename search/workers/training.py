"""One training of a run, epoch by epoch, each epoch on disk as it ends; and the digests of what a model was made of."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from foldtune.errors import CheckpointError, FoldtuneError, MemoryExhausted, ProcessLost, TrialFailed
from foldtune.redaction import redacted, without_colours
from foldtune.results.records.trials import EpochRow, Scores
from foldtune.results.runs.ensemble_dir import ALL_ROWS, FoldDir
from foldtune.results.runs.store import RunStore
from foldtune.results.runs.trial_dir import FitDir, TrialDir
from foldtune.results.storage.files import json_text, read_locally, save_file
from foldtune.results.storage.paths import StorePath
from foldtune.search.data.dataset import Labelled, open_once
from foldtune.search.runs.digests import changed_labels
from foldtune.trainers.data.table import Table
from foldtune.trainers.fitting.fit import EpochReport, Fit, TrainSpec
from foldtune.trainers.fitting.worker_pool import WorkerPool
from foldtune.trainers.images.preprocess import steps_to_list
from foldtune.trainers.networks.weights import save_weights
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.parsing import parse_settings

if TYPE_CHECKING:
    from foldtune.search.config.schema import RunConfig


@dataclass(frozen=True)
class TrialWork:
    """What all trials of a search share; sent to each worker once.

    Attributes:
        root: address of the run's store.
        processes: that train one trial together, each on a GPU where `gpus` are given to the trial.
    """

    root: str
    labelled: Labelled
    metric: str
    epochs: int
    seed: int
    loader_workers: int
    fold: int = 0
    processes: int = 1
    gpus: float = 0.0

    @classmethod
    def of(cls, root: str, labelled: Labelled, metric: str, config: RunConfig) -> Self:
        """Return the work of a run's configuration, for its search and its fold models alike."""
        resources = config.resources
        return cls(
            root=root,
            labelled=labelled,
            metric=metric,
            epochs=config.search.max_epochs,
            seed=config.search.seed,
            loader_workers=resources.loader_workers,
            processes=resources.processes,
            gpus=resources.gpus_per_trial,
        )


def worker_pool(work: TrialWork) -> WorkerPool | None:
    """Return the processes that share a trial's batches, None for one; they outlive the trial and are to be closed."""
    return WorkerPool(work.processes, "cuda" if work.gpus else "cpu") if work.processes > 1 else None


def short_reason(error: BaseException) -> str:
    """Return the reason in one line, without secrets; the class is named unless the error is foldtune's own.

    Of an error that Ray raises for one in a worker, it is the worker's.
    """
    error = _cause(error)
    message = redacted(" ".join(without_colours(str(error)).split())) or type(error).__name__
    text = message if isinstance(error, FoldtuneError) else f"{type(error).__name__}: {message}"
    return text if len(text) <= 300 else text[:297] + "..."


def whole_reason(error: BaseException) -> str:
    """Return the traceback of an error, and of the worker's that it stands for, without colours."""
    return without_colours("".join(traceback.format_exception(error)))


def _cause(error: BaseException) -> BaseException:
    """Return the error of a worker for which an error of Ray stands, and so on; else the error itself."""
    seen = {id(error)}
    while isinstance(inner := getattr(error, "cause", None), BaseException) and id(inner) not in seen:
        seen.add(id(inner))
        error = inner
    return error


def open_fit(work: TrialWork, directory: TrialDir, halvings: int = 0, pool: WorkerPool | None = None) -> Fit:
    """Return a trial's training, from its checkpoint where there is one; `halvings` as for `resumed_fit`."""
    labelled = work.labelled
    record = directory.record()
    if record is None:
        raise TrialFailed(f"{directory.config_path} is gone")
    settings = parse_settings(record.config, labelled.task)
    return resumed_fit(work, settings, work.fold, directory.checkpoint_path, pool, halvings)


def resumed_fit(
    work: TrialWork,
    settings: TrialSettings,
    fold: int,
    checkpoint: StorePath,
    pool: WorkerPool | None = None,
    halvings: int = 0,
) -> Fit:
    """Return a training on a fold, from its checkpoint where there is one of the same data and code.

    Args:
        halvings: times that the checkpoint's micro-batch is halved.
    """
    labelled = work.labelled
    data = labelled.fold(fold, open_once(labelled.table.paths, labelled.images, labelled.digest))
    with _pretrained(work, settings) as weights:
        fit = Fit(
            TrainSpec(settings, labelled.task, data, work.metric, work.epochs, work.seed, weights),
            num_workers=work.loader_workers,
            pool=pool,
        )
    with read_locally(checkpoint) as local, suppress(CheckpointError):
        if local is not None:
            fit.restore(local)
    for _ in range(halvings):
        fit.halve_micro_batch()
    return fit


@contextmanager
def _pretrained(work: TrialWork, settings: TrialSettings) -> Iterator[Path | None]:
    """Yield a local file of the weights that the run keeps for a configuration, None where it needs none."""
    if isinstance(settings.pretrained, bool):
        yield None
        return
    path = RunStore(work.root).pretrained.weights_path(settings.pretrained)
    with read_locally(path) as local:
        if local is None:
            raise TrialFailed(f"{path} is gone: the pretrained weights that the run was started with")
        yield local


def store_epoch(directory: TrialDir, fit: Fit, report: EpochReport) -> None:
    """Write one epoch: scores and weights where it is the best, its metrics, then the checkpoint.

    In this order a kill at any moment leaves at most one epoch to repeat, which gives the same numbers.
    """
    if report.is_best:
        store_scores(directory, fit, report.epoch)
        save_file(directory.weights_path, partial(save_weights, fit.best_weights()))
    directory.append_epoch(
        EpochRow(
            epoch=report.epoch,
            metrics=report.metrics,
            best_epoch=report.best_epoch,
            best_metrics=report.best_metrics,
            time_s=report.time_s,
            images_per_s=report.images_per_s,
            lr=report.lr,
            micro_batch_size=report.micro_batch_size,
            params_m=fit.params_m,
        )
    )
    if not report.done:
        save_file(directory.checkpoint_path, fit.save)


def store_scores(directory: FitDir, fit: Fit, epoch: int) -> None:
    """Write the validation scores of a training's best epoch."""
    rows = fit.data.valid_rows
    data = fit.data
    cases = None if data.cases is None else data.cases[rows]
    directory.write_scores(data.ids[rows], fit.valid_logits, data.targets[rows], epoch, cases)


ATTEMPTS = 4
"""Attempts at a fold whose training loses a process."""


def train_fold(
    work: TrialWork,
    settings: TrialSettings,
    fold: int,
    directory: FoldDir,
    weights: StorePath,
    until: int | None = None,
) -> float:
    """Train one fold's model, from its checkpoint where there is one; gives the metric of the epoch that is kept.

    Args:
        until: epoch that ends the training and is kept, with no scores; None keeps the best epoch.

    Raises:
        TrialFailed: the training cannot work; other errors of the trainer pass through.
    """
    halvings = lost = 0
    while True:
        try:
            return _trained(work, settings, fold, directory, weights, halvings, until)
        except MemoryExhausted:  # from the last checkpoint, in smaller parts
            halvings += 1
        except ProcessLost:  # from the last checkpoint again
            lost += 1
            if lost == ATTEMPTS:
                raise


def train_all(work: TrialWork, settings: TrialSettings, epochs: int, directory: FoldDir, weights: StorePath) -> None:
    """Train the model of all rows, until an epoch whose weights are kept: no row is held out to choose another by.

    Raises:
        TrialFailed: as `train_fold`.
    """
    train_fold(work, replace(settings, patience=0), ALL_ROWS, directory, weights, epochs)


def _trained(
    work: TrialWork,
    settings: TrialSettings,
    fold: int,
    directory: FoldDir,
    weights: StorePath,
    halvings: int,
    until: int | None,
) -> float:
    with (
        worker_pool(work) or nullcontext() as pool,
        closing(resumed_fit(work, settings, fold, directory.checkpoint_path, pool, halvings)) as fit,
    ):
        while not fit.done and fit.epoch != until:
            fit.step()
            if not fit.done:
                save_file(directory.checkpoint_path, fit.save)
        best = fit.best
        if best is None:
            raise TrialFailed("no epoch was run")
        save_file(weights, partial(save_weights, fit.best_weights() if until is None else fit.weights()))
        if until is None:
            store_scores(directory, fit, best.epoch)
        return best.value


def made_of(work: TrialWork, config: Mapping[str, Any]) -> dict[str, str]:
    """Return the digests of a trial's settings and of its rows."""
    return {"settings": settings_digest(work, config), "rows": work.labelled.digest}


def is_made_of(stored: Mapping[str, str] | None, work: TrialWork, config: Mapping[str, Any]) -> bool:
    """Whether a trial's stored digests are those of `made_of`; a trial of before has none."""
    now = made_of(work, config)
    return stored is None or (stored.get("settings") == now["settings"] and agrees(stored.get("rows"), now["rows"]))


def agrees(stored: str | None, now: str) -> bool:
    """Whether a digest of rows is not another one; "" and None stand for one that is not known."""
    return not stored or not now or stored == now


def settings_digest(work: TrialWork, config: Mapping[str, Any]) -> str:
    """Return the digest of what a model depends on beside its rows: a run of the same name may be another by now."""
    seen = work.labelled.images.preprocessing
    plan = [list(seen.size), seen.resize, steps_to_list(seen.steps)]
    if seen.limits.pixel_range != "uint16":  # which is that of every model of before, whose digest stays
        plan.append(seen.limits.pixel_range)
    if seen.limits.window is not None:
        plan.append(str(seen.limits.window))
    weights = work.labelled.table.extra_weights
    if weights is not None:
        plan.append(sha256(weights.tobytes()).hexdigest())
    text = json_text([config, plan, work.metric, work.epochs, work.seed])
    return sha256(text.encode()).hexdigest()[:16]


def has_labels(scores: Scores, table: Table) -> bool:
    """Whether stored scores are of rows of the table, with the labels that these have now."""
    if not set(scores.ids.tolist()) <= set(table.ids.tolist()):
        return False
    return scores.targets is None or not changed_labels(scores.ids.tolist(), scores.targets, table)
