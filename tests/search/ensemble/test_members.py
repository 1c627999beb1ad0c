"""Scores of a member from its fold models: aligned, each row by the model of its fold, in the order asked for."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.special import softmax

from foldtune.results.runs.ensemble_dir import EnsembleDir
from foldtune.search.data.dataset import ImagePlan
from foldtune.search.ensemble.members import StoredMember
from foldtune.search.workers.unlabelled import Unlabelled
from foldtune.trainers.data.table import Table
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.postprocess.fold_alignment import align_fold_biases
from foldtune.trainers.tasks.ordinal import Ordinal

TASK = Ordinal("grade", ("0", "1", "2"), (4, 3, 3))
FOLDS = (np.array(["d", "a", "e"]), np.array(["c", "b"]))
TEST_IDS = np.array(["x", "y"])


def drawn(rows: int, seed: int) -> np.ndarray:
    """Logits of a model that leans to one end of the levels."""
    return (np.random.default_rng(seed).normal(size=(rows, 3)) + seed * np.arange(3)).astype(np.float32)


@pytest.fixture
def member(tmp_path: Path) -> StoredMember:
    home = EnsembleDir(tmp_path / "ensemble")
    for fold, ids in enumerate(FOLDS):
        directory = home.member("0000", fold)
        directory.write_scores(ids, drawn(len(ids), fold), None, 1)
        directory.write_test_logits(TEST_IDS, drawn(2, 10 + fold))
    table = Table(TEST_IDS, (Path("x"), Path("y")))
    test = Unlabelled(table, ImagePlan(ImagePreprocessing((8, 8)), None, 1, "skip"), TEST_IDS)
    candidate: Any = SimpleNamespace(
        id="0000", run=SimpleNamespace(task=TASK), record=SimpleNamespace(config={"model_name": "test_resnet"})
    )
    source: Any = SimpleNamespace(test=test)
    return StoredMember(home, candidate, source, None)


def test_scores_are_those_of_aligned_fold_models(member: StoredMember) -> None:
    logits = [drawn(len(ids), fold) for fold, ids in enumerate(FOLDS)]
    offsets = align_fold_biases(logits)
    assert np.abs(offsets).max() > 0.1
    by_id = {
        name: softmax(row + offset)
        for ids, rows, offset in zip(FOLDS, logits, offsets, strict=True)
        for name, row in zip(ids, rows, strict=True)
    }
    found = member.oof_scores(np.array(["a", "b", "c", "d", "e"]), 2)
    np.testing.assert_allclose(found, [by_id[name] for name in "abcde"], atol=1e-6)
    expected = np.mean([softmax(drawn(2, 10 + fold) + offsets[fold], axis=1) for fold in (0, 1)], axis=0)
    np.testing.assert_allclose(member.test_scores(TEST_IDS[::-1], 2), expected[::-1], atol=1e-6)
