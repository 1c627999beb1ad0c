"""Domains of a parameter: a range of floats, a range of integers, or a choice. Bounds are inclusive."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foldtune.spaces.central import count_steps, nth_step
from foldtune.spaces.scalars import Scalar, integer, number, yaml_text
from foldtune.wording import unknown

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import BaseTrial

_GRID_TOLERANCE = 1e-8  # in steps, as optuna.distributions.FloatDistribution


@dataclass(frozen=True)
class FloatRange:
    """Floats from `low` to `high`: uniform, or (`log`) uniform in the logarithm, or (`step`) so far apart.

    `grid`: the values that a grid search takes, in the place of all.
    """

    low: float
    high: float
    default: float
    log: bool = False
    step: float | None = None
    grid: tuple[float, ...] = ()

    @property
    def kind(self) -> str:
        return "loguniform" if self.log else "uniform"

    def validate(self, value: object) -> float:
        """Return the value as a float.

        Raises:
            ValueError: a value outside the range.
        """
        result = number(value)
        _check_inside(result, self.low, self.high)
        if self.step is not None and not _on_grid(result, self.low, self.step):
            grid = f"{yaml_text(self.low)} plus a multiple of the step {yaml_text(self.step)}"
            raise ValueError(f"{yaml_text(result)} is not {grid}")
        return result

    def corners(self) -> tuple[float, float]:
        return self.low, self.high

    def grid_values(self) -> tuple[float, ...]:
        """Return the values of a grid search, () where there are infinitely many."""
        if self.grid or self.step is None:
            return self.grid
        return tuple(nth_step(self.low, self.step, n) for n in range(count_steps(self.low, self.high, self.step) + 1))

    def suggest(self, trial: BaseTrial, name: str) -> float:
        return trial.suggest_float(name, self.low, self.high, step=self.step, log=self.log)

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def describe(self) -> str:
        step = "" if self.step is None else f", step {yaml_text(self.step)}"
        return f"{yaml_text(self.low)} to {yaml_text(self.high)}{step}{_grid_text(self.grid)}"


@dataclass(frozen=True)
class IntRange:
    """Integers from `low` to `high`, `step` apart; uniform, or (`log`) uniform in the logarithm.

    `grid`: as of floats.
    """

    low: int
    high: int
    default: int
    log: bool = False
    step: int = 1
    grid: tuple[int, ...] = ()

    @property
    def kind(self) -> str:
        return "logint" if self.log else "int"

    def validate(self, value: object) -> int:
        """Return the value as an int.

        Raises:
            ValueError: a value outside the range.
        """
        result = integer(value)
        _check_inside(result, self.low, self.high)
        if (result - self.low) % self.step:
            raise ValueError(f"{result} is not {self.low} plus a multiple of the step {self.step}")
        return result

    def corners(self) -> tuple[int, int]:
        return self.low, self.high

    def grid_values(self) -> Sequence[int]:
        """Return the values of a grid search, () where there are too many to mean all of them: of a logint."""
        return self.grid if self.grid or self.log else range(self.low, self.high + 1, self.step)

    def suggest(self, trial: BaseTrial, name: str) -> int:
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import IntDistribution

        return IntDistribution(self.low, self.high, log=self.log, step=self.step)

    def describe(self) -> str:
        step = f", step {self.step}" if self.step != 1 else ""
        return f"{self.low} to {self.high}{step}{_grid_text(self.grid)}"


@dataclass(frozen=True)
class Choice:
    """One of distinct `values`; with `branches` they are the names of the choice's branches."""

    values: tuple[Scalar, ...]
    default: Scalar
    branches: bool = False

    kind = "choice"

    def validate(self, value: object) -> Scalar:
        """Return the equal value of this choice.

        Raises:
            ValueError: a value that is not in the choice.
        """
        for own in self.values:
            if own == value and isinstance(own, bool) == isinstance(value, bool):
                return own
        valid = map(yaml_text, self.values)
        raise ValueError(unknown("branch" if self.branches else "value", value, valid))

    def corners(self) -> tuple[Scalar, ...]:
        return self.values

    def grid_values(self) -> tuple[Scalar, ...]:
        """Return the values of a grid search."""
        return self.values

    def suggest(self, trial: BaseTrial, name: str) -> Scalar:
        return trial.suggest_categorical(name, self.values)

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)

    def describe(self) -> str:
        return " | ".join(map(yaml_text, self.values))


Domain = FloatRange | IntRange | Choice


def _grid_text(grid: Sequence[float]) -> str:
    return f", grid {', '.join(map(yaml_text, grid))}" if grid else ""


def _check_inside(value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(f"{yaml_text(value)} is outside {yaml_text(low)} to {yaml_text(high)}")


def _on_grid(value: float, low: float, step: float) -> bool:
    steps = (value - low) / step
    return math.isclose(steps, round(steps), rel_tol=0.0, abs_tol=_GRID_TOLERANCE)
