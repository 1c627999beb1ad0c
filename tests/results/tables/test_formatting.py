"""Numbers and durations as text."""

from __future__ import annotations

import math

import pytest

from foldtune.results.tables.formatting import duration_text, metric_text, number_text, parameter_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (4.24, "4.2s"),
        (9.96, "10s"),
        (59.4, "59s"),
        (59.7, "1m 00s"),
        (83, "1m 23s"),
        (3599.6, "1h 00m"),
        (7500, "2h 05m"),
        (86399, "1d 00h"),
        (273_600, "3d 04h"),
        (None, "–"),
        (math.nan, "–"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


def test_numbers() -> None:
    assert [metric_text(v) for v in (0.8, 1.0, 0.012346, 123.456, 0.0, math.nan, None)] == [
        "0.8000",
        "1.000",
        "0.01235",
        "123.5",
        "0.000",
        "–",
        "–",
    ]
    assert [number_text(v) for v in (12345.6, 0.1, 1234567.0, 1e9)] == ["12,346", "0.1", "1,234,567", "1e+09"]
    assert [parameter_text(v) for v in (64, 1.38512e-5, True, None, "x")] == [
        "64",
        "1.385e-05",
        "True",
        "–",
        "x",
    ]
