"""Ctrl-C answers at once, long before the search has ended."""

from __future__ import annotations

import os
import signal

import pytest

from foldtune.search.tuning.stopping import SearchStopper


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_answered_at_once_and_once(number: signal.Signals) -> None:
    answers: list[bool] = []
    stopper = SearchStopper(lambda: answers.append(True))
    with stopper.on_signals():
        os.kill(os.getpid(), number)
        assert (answers, stopper.stop_all()) == ([True], True)
        os.kill(os.getpid(), number)  # passed on by a program around this one
    assert (answers, stopper.interrupted) == ([True], True)


def test_the_end_of_the_time_stops_all_and_is_no_interrupt() -> None:
    over = [False]
    stopper = SearchStopper(is_over=lambda: over[0])
    assert not stopper.stop_all()
    over[0] = True
    assert stopper.stop_all()
    over[0] = False
    assert (stopper.stop_all(), stopper.timed_out, stopper.interrupted) == (True, True, False)
