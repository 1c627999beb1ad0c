"""Parser of the mapping of one parameter (`{uniform: [0, 1], step: 0.1}`) into its domain.

Problems are raised as a ValueError whose `args` are messages, one for each problem.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from foldtune.spaces.central import central_float, central_int, step_divides
from foldtune.spaces.domains import Choice, Domain, FloatRange, IntRange
from foldtune.spaces.keys import not_text
from foldtune.spaces.scalars import Scalar, integer, number, scalar, yaml_text
from foldtune.wording import unknown

KINDS = ("uniform", "loguniform", "int", "logint", "choice")
OPTIONS = ("default", "step", "grid")

_N = TypeVar("_N", int, float)
_D = TypeVar("_D", FloatRange, IntRange, Choice)
_R = TypeVar("_R", FloatRange, IntRange)


def parse_domain(spec: Mapping[str, Any]) -> Domain:
    """Return the domain of a mapping that has at least one kind; the content of branches is not read."""
    kinds = [key for key in spec if key in KINDS]
    messages = [unknown("option", key, OPTIONS) for key in spec if key not in KINDS and key not in OPTIONS]
    if len(kinds) > 1:
        raise ValueError(*messages, f"{' and '.join(map(repr, kinds))} are given; keep one")
    (kind,) = kinds
    options = {key: spec[key] for key in OPTIONS if key in spec}
    if "step" in options and kind not in ("uniform", "int"):
        messages.append(f"'step' does not go with {kind}; it goes with uniform and int")
        del options["step"]
    if "grid" in options and kind == "choice":
        messages.append("'grid' does not go with choice, whose values are a grid already")
        del options["grid"]
    try:
        domain = _parse_kind(kind, spec[kind], options)
    except ValueError as error:
        messages += error.args
    if messages:
        raise ValueError(*messages)
    return domain


def _parse_kind(kind: str, given: object, options: Mapping[str, Any]) -> Domain:
    if kind == "choice":
        return _with_default(_choice(given), options)
    if kind in ("int", "logint"):
        return _with_default(_int_range(kind, given, options), options)
    return _with_default(_float_range(kind, given, options), options)


def _float_range(kind: str, given: object, options: Mapping[str, Any]) -> FloatRange:
    low, high = _bounds(kind, given, number)
    if not math.isfinite(high - low):
        raise ValueError(f"the range from {low:g} to {high:g} is too wide to sample from")
    log = kind == "loguniform"
    step = _step(options["step"], low, high, number) if "step" in options else None
    return FloatRange(low, high, central_float(low, high, log=log, step=step), log, step)


def _int_range(kind: str, given: object, options: Mapping[str, Any]) -> IntRange:
    low, high = _bounds(kind, given, integer)
    log = kind == "logint"
    step = _step(options["step"], low, high, integer) if "step" in options else 1
    return IntRange(low, high, central_int(low, high, log=log, step=step), log, step)


def _choice(given: object) -> Choice:
    if isinstance(given, Mapping):
        values = _branch_names(given)
    elif isinstance(given, list | tuple):
        values = _choice_values(given)
    else:
        raise ValueError(f"choice takes a list of values or a mapping of branches, got {given!r}")
    if not values:
        raise ValueError("choice is empty; name at least one value")
    return Choice(values, values[0], branches=isinstance(given, Mapping))


def _branch_names(given: Mapping[Any, Any]) -> tuple[Scalar, ...]:
    wrong = [not_text("branch", name) for name in given if not isinstance(name, str) or not name]
    if wrong:
        raise ValueError(*wrong)
    return tuple(given)


def _choice_values(given: Sequence[Any]) -> tuple[Scalar, ...]:
    values: list[Scalar] = []
    messages: list[str] = []
    for value in given:
        try:
            own = _choice_value(value)
        except ValueError as error:
            messages += error.args
            continue
        if own in values:  # by equality, as Optuna looks a choice up: true and 1 are the same to it
            messages.append(f"{value!r} is given twice")
        values.append(own)
    if any(isinstance(v, bool) for v in values) and any(isinstance(v, str) for v in values):
        messages.append("booleans stand beside text: quote those that are text")
    if messages:
        raise ValueError(*messages)
    return tuple(values)


def _choice_value(value: object) -> Scalar:
    if isinstance(value, Mapping):
        raise ValueError(
            f"{dict(value)!r} stands in a list; where branches bring parameters, write a mapping: "
            "{choice: {branch: {parameter: …}, other: null}}"
        )
    return scalar(value)


def _bounds(kind: str, given: object, read: Callable[[object], _N]) -> tuple[_N, _N]:
    if not isinstance(given, list | tuple) or len(given) != 2:
        raise ValueError(f"{kind} takes [low, high], got {given!r}")
    bounds: list[_N] = []
    messages: list[str] = []
    for side, value in zip(("low", "high"), given, strict=True):
        try:
            bounds.append(read(value))
        except ValueError as error:
            messages.append(f"{side} bound: {error}")
    if messages:
        raise ValueError(*messages)
    low, high = bounds
    low_text, high_text = yaml_text(low), yaml_text(high)
    if low > high:
        raise ValueError(f"low bound {low_text} is above high bound {high_text}; swap them")
    if low == high:
        raise ValueError(f"both bounds are {low_text}; write the constant {low_text} instead")
    if kind.startswith("log") and low <= 0:
        linear = kind.removeprefix("log")
        raise ValueError(f"{kind} needs bounds above 0, got low bound {low_text}; raise it, or use {linear}")
    return low, high


def _step(given: object, low: _N, high: _N, read: Callable[[object], _N]) -> _N:
    try:
        step = read(given)
    except ValueError as error:
        raise ValueError(f"step: {error}") from error
    if step <= 0:
        raise ValueError(f"step must be above 0, got {yaml_text(step)}")
    if not step_divides(low, high, step):
        wide = f"the range from {yaml_text(low)} to {yaml_text(high)}"
        raise ValueError(f"step {yaml_text(step)} does not divide {wide} into whole steps")
    return step


def _with_default(domain: _D, options: Mapping[str, Any]) -> _D:
    if "grid" in options and not isinstance(domain, Choice):
        return _with_grid(domain, options)
    if "default" not in options:
        return domain
    try:
        return replace(domain, default=domain.validate(scalar(options["default"])))
    except ValueError as error:
        raise ValueError(f"default: {error}") from error


def _with_grid(domain: _R, options: Mapping[str, Any]) -> _R:
    """Return a range with its grid, whose default is one of it: the middle one where none is given."""
    given = options["grid"]
    if not isinstance(given, list | tuple) or not given:
        raise ValueError(f"grid takes a list of values, got {given!r}")
    try:
        grid = tuple(domain.validate(scalar(value)) for value in given)
    except ValueError as error:
        raise ValueError(f"grid: {error}") from error
    if len(set(grid)) < len(grid):
        raise ValueError("grid: a value is given twice")
    middle = sorted(grid)[(len(grid) - 1) // 2]
    found = _with_default(domain, {"default": options.get("default", middle)})
    if found.default not in grid:
        valid = ", ".join(map(yaml_text, grid))
        raise ValueError(f"default: {yaml_text(found.default)} is not in the grid; valid: {valid}")
    return replace(found, grid=grid)
