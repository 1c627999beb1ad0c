"""Training one fold's model of a member: its weights and scores on the disk in the end. No Ray."""

from __future__ import annotations

from contextlib import closing, nullcontext
from functools import partial

from foldtune.errors import MemoryExhausted, ProcessLost, TrialFailed
from foldtune.results.runs.ensemble_dir import FoldDir
from foldtune.results.storage.files import save_file
from foldtune.results.storage.paths import StorePath
from foldtune.search.workers.training import TrialWork, resumed_fit, store_scores, worker_pool
from foldtune.trainers.networks.weights import save_weights
from foldtune.trainers.settings import TrialSettings

ATTEMPTS = 4
"""Attempts at a fold whose training loses a process."""


def train_fold(work: TrialWork, settings: TrialSettings, fold: int, directory: FoldDir, weights: StorePath) -> float:
    """Train one fold's model, from its checkpoint where there is one; gives the metric of the epoch that is kept.

    Raises:
        TrialFailed: the training cannot work; other errors of the trainer pass through.
    """
    halvings = lost = 0
    while True:
        try:
            return _trained(work, settings, fold, directory, weights, halvings)
        except MemoryExhausted:  # from the last checkpoint, in smaller parts
            halvings += 1
        except ProcessLost:  # from the last checkpoint again
            lost += 1
            if lost == ATTEMPTS:
                raise


def _trained(
    work: TrialWork, settings: TrialSettings, fold: int, directory: FoldDir, weights: StorePath, halvings: int
) -> float:
    with (
        worker_pool(work) or nullcontext() as pool,
        closing(resumed_fit(work, settings, fold, directory.checkpoint_path, pool, halvings)) as fit,
    ):
        while not fit.done:
            fit.step()
            if not fit.done:
                save_file(directory.checkpoint_path, fit.save)
        best = fit.best
        if best is None:
            raise TrialFailed("no epoch was run")
        save_file(weights, partial(save_weights, fit.best_weights()))
        store_scores(directory, fit, best.epoch)
        return best.value
