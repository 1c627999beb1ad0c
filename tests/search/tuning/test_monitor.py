"""What the live table shows of a search."""

from __future__ import annotations

import pytest

from foldtune.results.records.ranking import Goal
from foldtune.search.tuning.monitor import SearchState


@pytest.mark.parametrize("order", [("0000", "0001"), ("0001", "0000")])
def test_of_equal_values_the_first_trial_is_the_best_whichever_ended_first(order: tuple[str, str]) -> None:
    state = SearchState(Goal("accuracy", "max"), total=3, max_epochs=1)
    for trial in order:
        state.consider(trial, 0.5)
    assert state.best == ("0000", 0.5)
    state.consider("0002", 0.6)
    assert state.best == ("0002", 0.6)
