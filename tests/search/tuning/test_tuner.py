"""What the tuner keeps between events of a search."""

from __future__ import annotations

import itertools

import pytest

from foldtune.search.tuning import tuner
from foldtune.search.tuning.tuner import cached_for


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
