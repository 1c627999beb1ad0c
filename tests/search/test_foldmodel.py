"""Pieces of a fold's training that need no Ray."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from search.dataset import ImagePlan
from search.foldmodel import Unlabelled
from trainers.data.table import Table


def test_unreadable_rows_get_the_mean_of_the_others() -> None:
    ids = np.array(["a", "b", "c"])
    table = Table(ids[[0, 2]], (Path("a"), Path("c")))
    test = Unlabelled(table, ImagePlan((8, 8), "squash", None, 1, "skip"), ids, np.array([True, False, True]))
    full = test.complete(np.array([[0.2, 0.8], [0.6, 0.4]]))
    np.testing.assert_allclose(full, [[0.2, 0.8], [0.4, 0.6], [0.6, 0.4]])
