"""Durations and moments as users write them: "2h", "1h30m", "336s", "18:00"."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from foldtune.wording import shortened

UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([dhms])")
_WHOLE = re.compile(rf"(?:{_PART.pattern}\s*)+")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
MAX_S = 10 * 365 * 86_400.0
"""Ten years, beyond which moments cannot be computed."""


def seconds_of(text: str) -> float:
    """Return the seconds of a duration, > 0: parts in d, h, m and s, the largest first, or a number of seconds.

    Raises:
        ValueError: it is none.

    >>> [seconds_of(text) for text in ("2h", "1h30m", "336s", "90", "1.5h")]
    [7200.0, 5400.0, 336.0, 90.0, 5400.0]
    """
    given = text.strip().lower()
    if _NUMBER.fullmatch(given):
        seconds = float(given)
    else:
        parts = [(float(number), unit) for number, unit in _PART.findall(given)]
        units = [list(UNITS_S).index(unit) for _, unit in parts]
        if not _WHOLE.fullmatch(given) or units != sorted(set(units)):
            raise ValueError(f"{shortened(repr(text))} is no duration: write 2h, 90m, 1h30m, 336s, or seconds")
        seconds = sum(number * UNITS_S[unit] for number, unit in parts)
    if not 0 < seconds <= MAX_S:
        raise ValueError(f"{shortened(repr(text))}: a duration is more than 0 and at most ten years")
    return seconds


def moment_of(text: str, now: datetime) -> datetime:
    """Return a moment after `now`: a time of day (18:00), of today or else of tomorrow, or a date with a time.

    Args:
        text: HH:MM, HH:MM:SS, or ISO 8601 with or without an offset; without one it is local time.
        now: aware.

    Raises:
        ValueError: it is none, or a date that is past.
    """
    given = text.strip()
    try:
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", given):
            hour, *rest = given.split(":")
            wanted = datetime.fromisoformat(f"{now.date()}T{hour:0>2}:{':'.join(rest)}")
            moment = wanted.replace(tzinfo=now.tzinfo)
            return moment if moment > now else moment + timedelta(days=1)
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise ValueError(
            f"{shortened(repr(text))} is no time: write 18:00, or 2026-11-30T18:00, with an offset such as +01:00 "
            "where it is not local"
        ) from None
    moment = moment.astimezone() if moment.tzinfo is None else moment
    if moment <= now:
        raise ValueError(f"{shortened(repr(text))} is past: it is {now:%Y-%m-%d %H:%M}")
    return moment
