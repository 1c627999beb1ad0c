"""What the tuner keeps between events of a search."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from foldtune.search.runs.run import open_run, reopen_labelled
from foldtune.search.tuning import tuner
from foldtune.search.tuning.tuner import Search, cached_for


def test_a_value_is_computed_again_only_after_the_period(monkeypatch: pytest.MonkeyPatch) -> None:
    counter, clock_s = itertools.count(), 100.0
    monkeypatch.setattr(tuner.time, "monotonic", lambda: clock_s)
    value = cached_for(2.0, lambda: next(counter))
    assert [value(), value()] == [0, 0]
    clock_s = 101.9
    assert value() == 0
    clock_s = 102.0
    assert [value(), value()] == [1, 1]
    clock_s = 103.9
    assert value() == 1
    clock_s = 104.0
    assert value() == 2


@pytest.mark.parametrize(("num_samples", "remaining"), [(9, 6), (4, 1), (3, 0), (2, 0)])
def test_trials_that_ended_before_a_resume_are_not_trained_again(
    project: Any, num_samples: int, remaining: int
) -> None:
    """Complete and failed ones count; one that was running does not."""
    store = project.stored_run()
    store.trial("0003").write_config(number=3, params={}, config={})
    run = open_run("tiny", "runs")
    config = run.config.model_copy(update={"search": run.config.search.model_copy(update={"num_samples": num_samples})})
    search = Search(config, store, run.space, reopen_labelled(run, 1, None), run.goal, resumed=True)
    assert search.remaining() == remaining
