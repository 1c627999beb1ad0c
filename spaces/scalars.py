"""Single values as they come out of YAML: numbers, text, booleans, null."""

from __future__ import annotations

import math
import re
from typing import TypeAlias

Scalar: TypeAlias = bool | int | float | str | None

# PyYAML follows YAML 1.1, where a float needs a dot and a signed exponent: `1e-5` and `1.0e5` arrive as text.
_EXPONENT_FLOAT = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_LARGEST_INT = 2**53  # Optuna's samplers carry integers as float64


def scalar(value: object) -> Scalar:
    """A constant or one value of a choice; text that YAML 1.2 would read as a float becomes one.

    Raises ValueError for anything but text, a finite number, a boolean or null.
    """
    if isinstance(value, str):
        return _finite(value) if _EXPONENT_FLOAT.fullmatch(value) else value
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return _finite(value)
    raise ValueError(f"{value!r} is a {type(value).__name__}; valid: text, a number, true, false, null")


def number(value: object) -> float:
    """A finite number; numeric text such as `1e-5` counts, a boolean does not. Raises ValueError."""
    is_text = isinstance(value, str) and _NUMBER.fullmatch(value) is not None
    if not is_text and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise ValueError(f"{value!r} is not a number")
    return _finite(value)


def integer(value: object) -> int:
    """A whole number of at most 2**53; `32.0` and `"1e3"` count. Raises ValueError."""
    whole = number(value)
    if not whole.is_integer():
        raise ValueError(f"{value!r} is not a whole number")
    if abs(whole) > _LARGEST_INT:
        raise ValueError(f"{value!r} is beyond 2**53, the largest whole number that a sampler holds exactly")
    return int(whole)


def yaml_text(value: Scalar) -> str:
    """The value as a reader would write it in YAML: `true`, `null`, `0.5`, `1e-05`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def _finite(value: object) -> float:
    try:
        result = float(value)  # type: ignore[arg-type]  # callers pass text, int or float
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise ValueError(f"{value!r} is not finite")
    return result
