"""Durations and moments as users write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldtune.durations import moment_of, seconds_of

NOW = datetime(2026, 11, 30, 17, 30, tzinfo=timezone(timedelta(hours=1)))


@given(st.integers(0, 9), st.integers(0, 59), st.integers(1, 59))
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    text = "".join(f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (seconds, "s")))
    assert seconds_of(text) == hours * 3600 + minutes * 60 + seconds


@pytest.mark.parametrize(
    "text", ["", "2x", "h", "30m1h", "1h1h", "-5m", "0", "0s", "nan", "inf", "99999d", "1:30", "2h 3"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        seconds_of(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("18:00", NOW.replace(hour=18, minute=0)),
        ("18:00:05", NOW.replace(hour=18, minute=0, second=5)),
        ("9:05", NOW.replace(day=1, month=12, hour=9, minute=5)),
        ("17:30", NOW + timedelta(days=1)),
        ("2026-11-30T17:00+00:00", datetime(2026, 11, 30, 17, 0, tzinfo=UTC)),
    ],
)
def test_a_time_of_day_is_the_next_one(text: str, expected: datetime) -> None:
    assert moment_of(text, NOW) == expected


@pytest.mark.parametrize(
    ("text", "reason"), [("25:00", "no time"), ("soon", "no time"), ("2026-11-30T17:00+01:00", "past")]
)
def test_what_is_no_moment_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        moment_of(text, NOW)
