"""Who is trained on every fold: the best complete trials, then the best stopped ones."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from foldtune.results.records.ranking import Goal, finalists
from foldtune.results.records.trials import TrialRecord

Make = Callable[..., TrialRecord]


@pytest.mark.parametrize(
    ("goal", "order"),
    [
        (Goal("accuracy", "max"), ["t4", "t1", "t5", "t2", "t3"]),
        (Goal("loss", "min"), ["t4", "t1", "t5", "t2", "t3"]),
        (Goal("accuracy", "min"), ["t1", "t5", "t4", "t3", "t2"]),
        (Goal("loss", "max"), ["t1", "t5", "t4", "t3", "t2"]),
    ],
)
def test_complete_trials_come_first_the_best_and_of_equals_the_earliest(
    goal: Goal, order: list[str], make_record: Make
) -> None:
    records = [
        make_record(0, 0.99, "FAIL"),
        make_record(1, 0.6),
        make_record(2, 0.9, "PRUNED"),
        make_record(3, 0.8, "PRUNED"),
        make_record(4, 0.7),
        make_record(5, 0.6),
        make_record(6, 0.95, "RUNNING"),
        make_record(7, math.nan),
        make_record(8),
    ]
    for given in (records, records[::-1]):
        assert [record.trial_id for record in finalists(given, goal, 99)] == order
    assert [record.trial_id for record in finalists(records, goal, 2)] == order[:2]


@pytest.mark.parametrize(("mode", "best"), [("max", 0.9), ("min", 0.1)])
def test_the_best_of_values_is_finite(mode: str, best: float) -> None:
    goal = Goal("accuracy", mode)  # type: ignore[arg-type]
    assert goal.best([0.5, math.nan, 0.9, math.inf, 0.1, -math.inf]) == best
    assert goal.best([math.nan]) is None
    assert goal.better(best, 0.5)
    assert not goal.better(0.5, 0.5)
    assert not goal.better(0.5, best)
