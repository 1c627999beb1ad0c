"""Numbers and durations as text."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

DASH = "–"


def counted(number: int, noun: str) -> str:
    """Return a count with its noun, whose plural must end in s.

    >>> counted(1, "image"), counted(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration_text(seconds: float | None) -> str:
    """Return a duration in two units at most; a dash for None, NaN and infinity.

    >>> [duration_text(s) for s in (4.2, 42, 83, 7500, 273600, None)]
    ['4.2s', '42s', '1m 23s', '2h 05m', '3d 04h', '–']
    """
    if seconds is None or not math.isfinite(seconds):
        return DASH
    if round(seconds, 1) < 10:
        return f"{seconds:.1f}s"
    total = round(seconds)
    if total < 60:
        return f"{total}s"
    if total < 3600:
        return f"{total // 60}m {total % 60:02d}s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60}h {minutes % 60:02d}m"
    hours = round(seconds / 3600)
    return f"{hours // 24}d {hours % 24:02d}h"


def metric_text(value: float | None) -> str:
    """Return 4 significant digits with trailing zeros, so that columns are aligned; a dash for no finite value.

    >>> metric_text(0.8), metric_text(12.345), metric_text(float("nan"))
    ('0.8000', '12.35', '–')
    """
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:#.4g}".removesuffix(".")


def number_text(value: float) -> str:
    """Return at most 4 significant digits without trailing zeros, large numbers in full.

    >>> number_text(0.5), number_text(1234.5), number_text(3e-5)
    ('0.5', '1,234', '3e-05')
    """
    if not math.isfinite(value):
        return DASH
    if 1000 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def parameter_text(value: Any) -> str:
    """Return a sampled value: integers in full, floats at 4 significant digits, a dash where absent.

    >>> parameter_text(1000000), parameter_text(0.000123456), parameter_text("adamw"), parameter_text(None)
    ('1000000', '0.0001235', 'adamw', '–')
    """
    if value is None or value is pd.NA:
        return DASH
    if isinstance(value, float):
        return number_text(value)
    return str(value)
