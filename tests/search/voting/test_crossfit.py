"""Splits of cross-fitted votes: a group is never on both sides of one, and a choice has splits enough."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.crossfit import splits_for_choosing
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.tasks.multiclass import Multiclass

ROWS = 60
GROUPS = np.array([f"case {row // 4}" for row in range(ROWS)])
TARGETS = np.random.default_rng(0).permutation(np.arange(ROWS) % 3)


def folds(count: int) -> np.ndarray:
    """Folds that keep the groups together."""
    return np.arange(ROWS) // 4 % count


class SpiedTask(Multiclass):
    """Whose post-processing is the number of its fit; a row's first score is its number."""

    votings = ("soft",)
    fits: list[set[str]]
    predicted: list[tuple[set[str], int]]

    def fit_postprocess(self, scores: np.ndarray, targets: np.ndarray, metric: str) -> dict[str, Any]:
        self.fits.append(groups_of(scores))
        return {"fit": len(self.fits) - 1}

    def predict(self, scores: np.ndarray, postprocess: Any = None) -> np.ndarray:
        self.predicted.append((groups_of(scores), postprocess["fit"]))
        return np.zeros(len(scores), dtype=np.int64)


def groups_of(scores: np.ndarray) -> set[str]:
    return set(GROUPS[scores[:, 0].astype(int)])


@pytest.fixture
def task() -> SpiedTask:
    task = SpiedTask("label", ("a", "b", "c"), (20, 20, 20))
    object.__setattr__(task, "fits", [])
    object.__setattr__(task, "predicted", [])
    return task


def test_halves_of_two_folds_keep_groups_together(task: SpiedTask) -> None:
    splits = splits_for_choosing(task, TARGETS, folds(2), GROUPS)
    assert set(splits.tolist()) == {0, 1, 2, 3}
    assert (splits // 2 == folds(2)).all()
    assert all(len(set(splits[group == GROUPS])) == 1 for group in set(GROUPS))


def test_three_folds_are_splits_enough(task: SpiedTask) -> None:
    assert splits_for_choosing(task, TARGETS, folds(3), GROUPS).tolist() == folds(3).tolist()


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("voting", ["soft", "auto"])
def test_no_vote_was_fitted_to_a_row_of_a_group_that_it_predicts(task: SpiedTask, voting: str, count: int) -> None:
    numbers = np.stack([np.arange(ROWS), np.zeros(ROWS), np.zeros(ROWS)], axis=1)
    members = [Member(name, numbers, ()) for name in ("0000", "0001")]
    bootstrap = Bootstrap(groups=GROUPS, samples=0)
    estimate(Objective(task, "macro_f1", TARGETS), members, folds(count), voting=voting, bootstrap=bootstrap)
    assert len(task.predicted) >= 3 * count, "the vote and each of its members, on every fold"
    assert not any(groups & task.fits[fit] for groups, fit in task.predicted)
