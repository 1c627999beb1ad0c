"""The reason of a failure in one line, as the leaderboard shows it."""

from __future__ import annotations

import pytest

from foldtune.errors import TrialFailed
from foldtune.search.workers.training import short_reason, whole_reason
from foldtune.trainers.fitting.worker_pool import _error


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


class OfRay(Exception):
    """An error that stands for one in a worker, as Ray's do."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"\x1b[36mray::step()\x1b[39m (pid=1, ip=127.0.0.1)\n{cause!r}")
        self.cause = cause


def test_an_error_of_ray_has_the_reason_of_the_worker() -> None:
    inner = RuntimeError("\x1b[31mexpected 3 channels\x1b[0m")
    assert short_reason(OfRay(OfRay(inner))) == "RuntimeError: expected 3 channels"
    itself = OfRay(inner)
    itself.cause = itself
    assert "\x1b" not in short_reason(itself)


def test_the_whole_reason_has_the_childs_traceback() -> None:
    error = _error("failed", "ValueError: five classes\nTraceback …\nValueError: five\nclasses\n")
    assert isinstance(error, TrialFailed)
    assert short_reason(error) == "ValueError: five classes"
    assert "In the other process:\nTraceback …\nValueError: five\nclasses" in whole_reason(error)
