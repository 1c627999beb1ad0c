"""Votes and their estimate on soft targets and unknown cells."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import f1_score

from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.soft import SoftMulticlass, SoftMultilabel

ROWS = 90
RNG = np.random.default_rng(0)
FOLDS = np.arange(ROWS) % 3


@pytest.mark.parametrize(("metric", "voting"), [("macro_f1", "auto"), ("loss", "weighted")])
def test_unknown_cells_count_in_no_vote_and_no_figure(metric: str, voting: str) -> None:
    labels = (RNG.random((ROWS, 3)) < [0.5, 0.3, 0.4]).astype(np.int64)
    known = RNG.random(labels.shape) < 0.8
    targets = np.where(known, labels, np.nan).astype(np.float32)
    scores = [expit(2.0 * labels - 1.0 + RNG.normal(size=labels.shape)) for _ in range(2)]
    objective = Objective(SoftMultilabel("y", ("a", "b", "c")), metric, targets)
    found = estimate(objective, [Member(f"{at}", each, ()) for at, each in enumerate(scores)], FOLDS, voting=voting)
    columns = zip(labels.T, found.predictions.T, known.T, strict=True)
    assert found.metrics["macro_f1"] == pytest.approx(np.mean([f1_score(t[k], p[k]) for t, p, k in columns]))
    assert np.isfinite([found.interval.low, found.interval.high, *found.metrics.values()]).all()
    if voting != "auto":  # auto compares ranks, in which unknown cells of a row have a place
        other = [Member(f"{at}", np.where(known, each, 0.5), ()) for at, each in enumerate(scores)]
        assert estimate(objective, other, FOLDS, voting=voting).metrics == pytest.approx(found.metrics)


def test_one_hot_targets_have_the_votes_of_hard_ones() -> None:
    targets = RNG.integers(0, 3, ROWS)
    hard = Objective(Multiclass("y", ("a", "b", "c"), (30, 30, 30)), "balanced_accuracy", targets)
    task = SoftMulticlass("y", ("a", "b", "c"), (30.0, 30.0, 30.0))
    soft = dataclasses.replace(hard, task=task, targets=np.eye(3, dtype=np.float32)[targets])
    scores = [softmax(np.eye(3)[targets] + RNG.normal(size=(ROWS, 3)), axis=1) for _ in range(2)]
    members = [Member(f"{at}", each, ()) for at, each in enumerate(scores)]
    found = [
        estimate(objective, members, FOLDS, voting="auto", bootstrap=Bootstrap(samples=0)) for objective in (hard, soft)
    ]
    assert found[1].metrics == pytest.approx(found[0].metrics, abs=1e-6)
    assert found[1].compared == pytest.approx(found[0].compared)
    assert found[1].predictions.tolist() == found[0].predictions.tolist()
