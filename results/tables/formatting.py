"""Numbers and durations as people read them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

DASH = "–"


def counted(number: int, noun: str) -> str:
    """Return a number of things: "1 image", "2 images"; the noun's plural must end in s."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def duration_text(seconds: float | None) -> str:
    """Return "4.2s", "42s", "1m 23s", "2h 05m" or "3d 04h"; a dash where there is none."""
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
    """Return 4 significant digits with trailing zeros, so that a column lines up: "0.8000"."""
    if value is None or not math.isfinite(value):
        return DASH
    return f"{value:#.4g}".removesuffix(".")


def number_text(value: float) -> str:
    """Return at most 4 significant digits without trailing zeros; "12,345" rather than 1.234e+04."""
    if not math.isfinite(value):
        return DASH
    if 1000 <= abs(value) < 1e7:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def parameter_text(value: Any) -> str:
    """Return a sampled value: whole numbers in full, others at 4 significant digits, a dash where absent."""
    if value is None or value is pd.NA:
        return DASH
    if isinstance(value, float):
        return number_text(value)
    return str(value)
