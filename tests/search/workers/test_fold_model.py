"""Fold models: rows to submit, the search's own models, and the line about unfinished ones."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from foldtune.results.runs.trial_dir import FitDir
from foldtune.results.storage.files import save_file
from foldtune.results.storage.paths import StorePath
from foldtune.search.ensemble.fold_tasks import Missing
from foldtune.search.runs.run import open_run, reopen_labelled
from foldtune.search.workers.fold_job import FoldJob, FoldModelStatus, FoldOutcome, FoldWork
from foldtune.search.workers.fold_model import ensure_trained, status
from foldtune.search.workers.training import TrialWork
from foldtune.search.workers.training import made_of as digests
from foldtune.search.workers.unlabelled import completed
from foldtune.trainers.networks.weights import save_weights


def test_unreadable_rows_get_the_mean_of_the_others() -> None:
    ids = np.array(["a", "b", "c"])
    full = completed(np.array([[0.2, 0.8], [0.6, 0.4]]), ids[[0, 2]], ids)
    np.testing.assert_allclose(full, [[0.2, 0.8], [0.4, 0.6], [0.6, 0.4]])


CONFIG = {"model_name": "test_resnet", "augmentation": "none", "batch_size": 12}


class Searched:
    """A run of two folds whose trial 0000 has a model of fold 0."""

    def __init__(self, project: Any, ended: Any = "COMPLETE", **made_of: str) -> None:
        self.store = store = project.stored_run()
        run = open_run("tiny", "runs")
        labelled = replace(reopen_labelled(run, 1, None), digest="rows")
        self.work = TrialWork.of(str(store.root), labelled, "macro_f1", run.config)
        self.table, self.rows, self.targets = labelled.table, labelled.folds == 0, labelled.table.targets
        trial = store.trial("0000")
        trial.write_config(0, {}, CONFIG, {**digests(self.work, CONFIG), **made_of})
        self.store_model(trial, trial.weights_path)
        trial.finish(ended)

    def store_model(self, directory: FitDir, weights: StorePath) -> None:
        assert self.targets is not None
        logits = np.zeros((self.rows.sum(), 3), dtype=np.float32)
        directory.write_scores(self.table.ids[self.rows], logits, self.targets[self.rows], 1)
        save_file(weights, partial(save_weights, {"bias": torch.zeros(3)}))

    def job(self, fold: int = 0) -> tuple[FoldWork, FoldJob]:
        return FoldWork(self.work, None, str(self.store.ensemble.root)), FoldJob("0000", "tiny", "0000", fold)


@pytest.mark.parametrize(
    ("ended", "fold", "made_of", "expected"),
    [
        ("COMPLETE", 0, {}, FoldModelStatus.TO_REUSE),
        ("COMPLETE", 0, {"rows": ""}, FoldModelStatus.TO_REUSE),  # of a version that stored no digest of them
        ("PRUNED", 0, {}, FoldModelStatus.TO_TRAIN),  # it has not seen the end of its lr schedule
        ("COMPLETE", 1, {}, FoldModelStatus.TO_TRAIN),
        ("COMPLETE", 0, {"rows": "others"}, FoldModelStatus.TO_TRAIN),
        ("COMPLETE", 0, {"settings": "others"}, FoldModelStatus.TO_TRAIN),
    ],
)
def test_of_the_search_only_a_complete_model_of_this_fold_and_these_rows_is_reused(
    project: Any, ended: str, fold: int, made_of: dict[str, str], expected: FoldModelStatus
) -> None:
    assert status(*Searched(project, ended, **made_of).job(fold)) is expected


@pytest.mark.parametrize("changed", [False, True])
def test_a_model_whose_stored_labels_are_others_now_is_not_reused(project: Any, changed: bool) -> None:
    """One of a version that stored no digests."""
    run = Searched(project, rows="")
    if changed:
        assert run.targets is not None
        run.targets = (run.targets + 1) % 3
        run.store_model(run.store.trial("0000"), run.store.trial("0000").weights_path)
    assert ensure_trained(*run.job()).reused is not changed


@pytest.mark.parametrize(("marker", "whole"), [({}, True), ({"rows": "others"}, False), ({"made_of": "others"}, False)])
def test_a_fold_model_is_trained_again_where_it_is_of_other_rows_or_settings(
    project: Any, marker: dict[str, str], whole: bool
) -> None:
    run = Searched(project, "PRUNED")
    ensemble = run.store.ensemble
    fold = ensemble.member("0000", 0)
    run.store_model(fold, ensemble.weights_path("0000", 0))
    now = {"made_of": digests(run.work, CONFIG)["settings"], "rows": "rows"}
    fold.finish({"value": 0.25, "reused": False, **now, **marker})
    assert status(*run.job()) == (FoldOutcome("0000", 0, 0.25) if whole else FoldModelStatus.TO_TRAIN)


def test_unfinished_fold_models_in_one_line() -> None:
    counts = {FoldModelStatus.TO_PREDICT: 3, FoldModelStatus.TO_TRAIN: 7}
    assert str(Missing(counts, 15, race=False)) == "7 of 15 fold models to train, 3 to predict"
    assert str(Missing({FoldModelStatus.TO_REUSE: 1}, 4, race=True)) == "1 of 4 fold models of the race to reuse"
