"""Single values of a YAML file: numbers, text, booleans, null."""

from __future__ import annotations

import math
from typing import TypeAlias

Scalar: TypeAlias = bool | int | float | str | None

_LARGEST_INT = 2**53  # Optuna's samplers carry integers as float64


def scalar(value: object) -> Scalar:
    """Return a constant or one value of a choice.

    Raises ValueError for anything but text, a finite number, a boolean or null.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return _finite(value)
    raise ValueError(f"{value!r} is a {type(value).__name__}; valid: text, a number, true, false, null")


def number(value: object) -> float:
    """Return a finite number; a boolean is none. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is not a number")
    return _finite(value)


def integer(value: object) -> int:
    """Return a whole number of at most 2**53, such as `32` and `32.0`. Raises ValueError."""
    whole = number(value)
    if not whole.is_integer():
        raise ValueError(f"{value!r} is not a whole number")
    if abs(whole) > _LARGEST_INT:
        raise ValueError(f"{value!r} is beyond 2**53, the largest whole number that a sampler holds exactly")
    return int(whole)


def yaml_text(value: Scalar) -> str:
    """Return the value as it is written in YAML: `true`, `null`, `0.5`, `1e-05`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _finite(value: float) -> float:
    try:
        result = float(value)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"{value!r} is not finite")
    return result
