"""Default of a range without one: its middle, rounded to few digits."""

from __future__ import annotations

import math
from decimal import Decimal

_ROUNDING = 0.05  # how far, in widths of the range, rounding may move the middle


def central_float(low: float, high: float, *, log: bool, step: float | None) -> float:
    """Return the midpoint, the geometric mean for `log`, or the middle point of the grid of `step`."""
    if step is not None:
        return nth_step(low, step, count_steps(low, high, step) // 2)
    middle = math.sqrt(low) * math.sqrt(high) if log else low / 2 + high / 2
    scale = math.log if log else float
    allowed = _ROUNDING * (scale(high) - scale(low))
    for digits in range(2, 17):
        rounded = float(f"{middle:.{digits}g}")
        if low <= rounded <= high and abs(scale(rounded) - scale(middle)) <= allowed:
            return rounded
    return min(max(middle, low), high)


def central_int(low: int, high: int, *, log: bool, step: int) -> int:
    """Return the middle point of the grid, or the rounded geometric mean for `log` (which has no step)."""
    if log:
        return min(max(round(math.sqrt(low) * math.sqrt(high)), low), high)
    return low + step * ((high - low) // step // 2)


def step_divides(low: float, high: float, step: float) -> bool:
    """Return whether `high` lies on the grid, by decimal arithmetic as Optuna checks it (0.1 divides 0.3)."""
    return (Decimal(str(high)) - Decimal(str(low))) % Decimal(str(step)) == 0


def count_steps(low: float, high: float, step: float) -> int:
    """Return the number of steps from `low` to `high`."""
    return int((Decimal(str(high)) - Decimal(str(low))) / Decimal(str(step)))


def nth_step(low: float, step: float, n: int) -> float:
    """Return `low + n * step` without the rounding errors of binary fractions.

    >>> nth_step(0.1, 0.1, 2)
    0.3
    """
    return float(Decimal(str(low)) + n * Decimal(str(step)))
