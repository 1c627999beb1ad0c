"""Who drops out after two folds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import softmax

from foldtune.results.records.ranking import Goal
from foldtune.search.ensemble.racing import drop_weak, tukey_hsd
from foldtune.trainers.tasks.multiclass import Multiclass

TASK = Multiclass("label", ("a", "b", "c"), (200, 150, 100))
GOAL = Goal("balanced_accuracy", "max")
Array = npt.NDArray[np.float64]


def draw(skills: dict[str, float], rows: int = 400, seed: int = 0) -> tuple[dict[str, Array], npt.NDArray[np.int64]]:
    """Scores of members of the given skills, which share half of their noise."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(3, rows, p=np.array(TASK.counts) / sum(TASK.counts))
    shared = rng.normal(size=(rows, 3))
    scores = {
        name: softmax(skill * np.eye(3)[targets] + 0.7 * shared + 0.7 * rng.normal(size=(rows, 3)), axis=1)
        for name, skill in skills.items()
    }
    return scores, targets


def dropped(scores: dict[str, Array], targets: npt.NDArray[np.int64], goal: Goal = GOAL, **changes: int) -> list[str]:
    rows = len(targets)
    ids = np.array([f"row {row}" for row in range(rows)])
    return [each.member for each in drop_weak(TASK, goal, scores, targets, np.arange(rows) % 2, ids, **changes)]


def test_the_clearly_weak_drop_out_the_weakest_last() -> None:
    scores, targets = draw({"m": 1.0, "n": 2.5, "o": 2.5, "p": 0.0, "q": 2.5})
    assert dropped(scores, targets) == ["m", "p"]


@pytest.mark.slow
def test_those_as_good_as_the_best_stay() -> None:
    """Of nine equals the leader is the luckiest, and far ahead of the unluckiest: still hardly a race loses anyone."""
    races = [dropped(*draw(dict.fromkeys("abcdefghi", 1.5), seed=seed)) for seed in range(10)]
    assert sum(map(bool, races)) <= 2


@pytest.mark.parametrize(("count", "reach"), [(2, 1.960), (3, 2.343), (10, 3.164)])
def test_the_critical_difference_is_tukeys(count: int, reach: float) -> None:
    """Of two it is the normal distribution's 1.96; the others from published tables of q, over sqrt(2)."""
    assert tukey_hsd(count) == pytest.approx(reach, abs=2e-3)


def test_a_third_goes_on_and_as_many_as_a_vote_needs() -> None:
    scores, targets = draw({"best": 4.0, **dict.fromkeys("abcdefgh", 0.0)})
    assert len(dropped(scores, targets)) == 6
    assert len(dropped(scores, targets, at_least=5)) == 4
    few = {name: scores[name] for name in ("best", "a", "b")}
    assert len(dropped(few, targets)) == 1


def test_neither_the_order_of_members_nor_that_of_rows_matters() -> None:
    scores, targets = draw({"m": 2.0, "n": 2.2, "o": 1.9, "p": 1.8, "q": 1.7, "r": 1.6})
    ids = np.array([f"row {row}" for row in range(len(targets))])
    folds = np.arange(len(targets)) % 2
    straight = drop_weak(TASK, GOAL, scores, targets, folds, ids)
    order = np.random.default_rng(1).permutation(len(targets))
    backwards = {name: scores[name][order] for name in reversed(scores)}
    assert drop_weak(TASK, GOAL, backwards, targets[order], folds[order], ids[order]) == straight
    assert straight


def test_where_less_is_better_the_one_with_more_drops_out() -> None:
    scores, targets = draw({"m": 2.5, "n": 2.5, "o": 0.0})
    assert dropped(scores, targets, Goal("loss", "min")) == ["o"]


def test_rows_that_belong_together_are_drawn_together() -> None:
    """Copies of a row are no evidence: a table of few rows, repeated a hundred times, is no proof."""
    scores, targets = draw({"m": 2.0, "n": 2.0, "o": 1.4}, rows=24, seed=4)
    rows = np.repeat(np.arange(24), 40)
    many = {name: each[rows] for name, each in scores.items()}
    folds = rows % 2
    alone = np.array([f"row {row}" for row in range(len(rows))])
    together = rows.astype(str)
    assert drop_weak(TASK, GOAL, many, targets[rows], folds, alone)
    assert not drop_weak(TASK, GOAL, many, targets[rows], folds, together)
