"""Fold models: rows to submit, and the line about unfinished ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from foldtune.search.ensemble.fold_tasks import Missing
from foldtune.search.runs.dataset import ImagePlan
from foldtune.search.workers.fold_model import FoldModelStatus
from foldtune.search.workers.unlabelled import Unlabelled
from foldtune.trainers.data.table import Table
from foldtune.trainers.images.preprocess import ImagePreprocessing


def test_unreadable_rows_get_the_mean_of_the_others() -> None:
    ids = np.array(["a", "b", "c"])
    table = Table(ids[[0, 2]], (Path("a"), Path("c")))
    test = Unlabelled(table, ImagePlan(ImagePreprocessing((8, 8)), None, 1, "skip"), ids, np.array([True, False, True]))
    full = test.complete(np.array([[0.2, 0.8], [0.6, 0.4]]))
    np.testing.assert_allclose(full, [[0.2, 0.8], [0.4, 0.6], [0.6, 0.4]])


def test_unfinished_fold_models_in_one_line() -> None:
    counts = {FoldModelStatus.TO_PREDICT: 3, FoldModelStatus.TO_TRAIN: 7}
    assert str(Missing(counts, 15, race=False)) == "7 of 15 fold models to train, 3 to predict"
    assert str(Missing({FoldModelStatus.TO_REUSE: 1}, 4, race=True)) == "1 of 4 fold models of the race to reuse"
