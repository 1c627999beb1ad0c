"""The reason of a failure in one line, as the leaderboard shows it."""

from __future__ import annotations

import pytest

from foldtune.errors import TrialFailed
from foldtune.search.workers.training import short_reason


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrialFailed("the loss became\n  nan"), "the loss became nan"),
        (ValueError("bad\tshape"), "ValueError: bad shape"),
        (KeyError(), "KeyError: KeyError"),
        (TrialFailed("x" * 400), "x" * 297 + "..."),
    ],
)
def test_a_class_is_named_where_the_message_alone_would_not_do(error: Exception, reason: str) -> None:
    assert short_reason(error) == reason
