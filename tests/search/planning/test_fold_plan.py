"""What gives way, in which order, and only as far as it must."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldtune.search.planning.fold_plan import (
    FoldCosts,
    FoldPlan,
    cut_lines,
    fitted,
    forecast_s,
    makespan_s,
    smaller,
    smallest,
)

plans = st.builds(FoldPlan, st.integers(1, 9), st.integers(1, 10), st.sampled_from([1, 2, 6]), st.integers(1, 30))


def costs_of(finalists: int, slots: int = 1) -> FoldCosts:
    return FoldCosts([1.0] * finalists, [0.5] * finalists, slots=slots, vote_s=2.0)


def test_the_order_in_which_things_give_way() -> None:
    plans = list(smaller(FoldPlan(5, 4, 2, 6)))
    shown = [(each.views, each.finalists, each.folds, each.epochs) for each in plans]
    assert shown == [
        (2, 5, 4, 6),
        (1, 5, 4, 6),
        (1, 4, 4, 6),
        (1, 3, 4, 6),
        (1, 3, 3, 6),
        (1, 2, 3, 6),
        (1, 2, 2, 6),
        (1, 1, 2, 6),
        (1, 1, 2, 5),
        (1, 1, 2, 4),
        (1, 1, 2, 3),
        (1, 1, 2, 2),
    ]


@given(plans, st.floats(0, 1000), st.integers(1, 64))
def test_as_little_is_cut_as_fits(plan: FoldPlan, left_s: float, slots: int) -> None:
    costs = costs_of(plan.finalists, slots)
    steps = list(smaller(plan))
    assert all(forecast_s(b, costs) <= forecast_s(a, costs) for a, b in pairwise(steps))
    found = fitted(plan, costs, left_s)
    if found is None:
        assert forecast_s(smallest(plan), costs) > left_s
    else:
        assert forecast_s(found, costs) <= left_s
        before = steps.index(found) - 1
        assert before < 0 or forecast_s(steps[before], costs) > left_s


@given(st.lists(st.floats(0.1, 50), max_size=40), st.integers(1, 64))
def test_a_makespan_lies_between_its_bounds(jobs: list[float], slots: int) -> None:
    found = makespan_s(jobs, slots)
    assert max([0.0, *jobs, sum(jobs) / slots]) - 1e-6 <= found <= sum(jobs) / slots + max([0.0, *jobs]) + 1e-6
    assert makespan_s(jobs, 1) == pytest.approx(sum(jobs))


def test_a_hard_vote_keeps_the_finalists_that_it_needs() -> None:
    assert smallest(FoldPlan(5, 5, 1, 9), min_finalists=4) == FoldPlan(4, 2, 1, 3)


def test_each_cut_is_a_text() -> None:
    assert cut_lines(FoldPlan(5, 5, 2, 9), FoldPlan(1, 3, 1, 9)) == [
        "each configuration's own views instead of 2",
        "1 finalist instead of 5",
        "3 folds instead of 5",
    ]
    assert cut_lines(FoldPlan(5, 5, 2, 9), FoldPlan(5, 5, 2, 9)) == []
