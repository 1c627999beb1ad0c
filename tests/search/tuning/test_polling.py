"""A question asked now and then."""

from __future__ import annotations

import itertools

from foldtune.search.tuning.polling import Polled


def test_asks_again_only_after_the_period() -> None:
    asked = itertools.count()
    assert [Polled(lambda: next(asked), 0.0)() for _ in range(3)] == [0, 1, 2]
    often, seldom = Polled(lambda: next(asked), 0.0), Polled(lambda: next(asked), 3600.0)
    assert [often(), often(), often()] == [3, 4, 5]
    assert [seldom(), seldom(), seldom()] == [6, 6, 6]
