"""Named components of a trial (a loss, an optimizer, …) and the checks of their parameters.

A component's parameters are a frozen dataclass whose fields carry bounds in their metadata; a registry maps
names to such classes. Reading never raises: it returns what could be read and the problems, so that all are
reported at once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from foldtune.errors import Problem
from foldtune.wording import shortened, unknown

MAX_NUMBER = 1e300
"""Size of a number: larger integers are no floats, and cannot be compared or printed as such."""


class FrozenMapping(Mapping[str, Any]):
    """A read-only mapping that, unlike `types.MappingProxyType`, can be pickled and hashed."""

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(frozenset(self._items))  # values may be mappings themselves

    def __repr__(self) -> str:
        return repr(self._items)


@dataclass(frozen=True)
class Component:
    """A name and its parameters, e.g. ``Component("focal", {"gamma": 2.0, "power": 0.0})``; read-only."""

    name: str
    params: Mapping[str, Any] = dataclasses.field(default_factory=FrozenMapping)

    def __post_init__(self) -> None:
        object.__setattr__(self, "params", FrozenMapping(self.params))

    def to_dict(self) -> dict[str, Any]:
        """``{"name": …, **params}``, the form a space produces and `read_component` accepts."""
        return {"name": self.name, **self.params}


def default_component(registry: Mapping[str, type], name: str) -> Component:
    """The component `name` with every parameter at its default."""
    return Component(name, {field.name: field.default for field in dataclasses.fields(registry[name])})


def number(
    default: float,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> Any:
    """A dataclass field with bounds; `open_low` and `open_high` exclude the bound itself."""
    bounds = {"min": low, "max": high, "open_min": open_low, "open_max": open_high}
    return dataclasses.field(default=default, metadata=bounds)


def choice(default: str, *valid: str) -> Any:
    """A dataclass field that takes one of the named values."""
    return dataclasses.field(default=default, metadata={"choices": valid})


def read_component(
    kind: str, registry: Mapping[str, type], value: object, path: str
) -> tuple[Component | None, list[Problem]]:
    """Read ``"focal"`` or ``{"name": "focal", "gamma": 2.0}``; absent parameters get their defaults."""
    if isinstance(value, Component):
        value = value.to_dict()
    if isinstance(value, str):
        value = {"name": value}
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        article = "an" if kind[0] in "aeiou" else "a"
        form = f"must be {article} {kind}'s name or a mapping with 'name'; valid names: {', '.join(registry)}"
        return None, [Problem(path, f"{value!r} {form}")]
    name = value["name"]
    if name not in registry:
        return None, [Problem(path, unknown(kind, name, registry))]
    given = {key: item for key, item in value.items() if key != "name"}
    params, problems = read_fields(registry[name], given, path, owner=f"{kind} '{name}'")
    return (None, problems) if problems else (Component(name, params), [])


_type_hints = functools.cache(typing.get_type_hints)  # evaluated once a class: a validation reads each many times


def read_fields(
    cls: type, given: Mapping[str, object], path: str = "", *, owner: str
) -> tuple[dict[str, Any], list[Problem]]:
    """Values for the fields of `cls`: the given ones checked, the others at their defaults."""
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    hints = _type_hints(cls)
    values = {name: field.default for name, field in fields.items()}
    problems = []
    for name, value in given.items():
        where = f"{path}.{name}" if path else str(name)
        if name not in fields:
            message = unknown("parameter", str(name), fields) if fields else f"{owner} has no parameters"
            problems.append(Problem(where, f"{message} (of {owner})" if fields else message))
            continue
        try:
            values[name] = check_value(value, hints[name], fields[name].metadata)
        except ValueError as error:
            problems.append(Problem(where, str(error)))
    return values, problems


def check_value(value: object, kind: type, metadata: Mapping[str, Any]) -> Any:
    """`value` as `kind` (bool, int, float or str) within its bounds; raises ValueError with the valid ones.

    An integer passes for a float; a bool never passes for a number; NaN and infinity pass for nothing.
    """
    if choices := metadata.get("choices"):
        if value not in choices:
            raise ValueError(unknown("value", str(value), choices))
        return value
    if kind is bool:
        if not isinstance(value, bool):
            raise ValueError(f"must be true or false, not {value!r}")
        return value
    if kind is str:
        if not isinstance(value, str):
            raise ValueError(f"must be a text, not {value!r}")
        return value
    return _check_number(value, kind, metadata)


def value_problems(path: str, value: object, kind: type, metadata: Mapping[str, Any]) -> list[Problem]:
    """The problem of a value by `check_value`, at the key `path`; [] where there is none."""
    try:
        check_value(value, kind, metadata)
    except ValueError as error:
        return [Problem(path, str(error))]
    return []


def _check_number(value: object, kind: type, metadata: Mapping[str, Any]) -> float:
    noun = "an integer" if kind is int else "a number"
    expected = f"must be {noun}{describe_range(metadata)}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{expected}, not {shortened(repr(value))}{_quotes_hint(value)}")
    if isinstance(value, int) and abs(value) > MAX_NUMBER:
        raise ValueError(f"{expected}, not one beyond {MAX_NUMBER:g}")
    if not math.isfinite(value) or (kind is int and not isinstance(value, int)):
        raise ValueError(f"{expected}, not {shortened(repr(value))}")
    low, high = _bounds(metadata)
    below = value < low or (metadata.get("open_min") and value == low)
    above = value > high or (metadata.get("open_max") and value == high)
    if below or above:
        raise ValueError(f"{expected}, not {shortened(repr(value))}")
    return int(value) if kind is int else float(value)


def _bounds(metadata: Mapping[str, Any]) -> tuple[float, float]:
    return metadata.get("min", -math.inf), metadata.get("max", math.inf)


def describe_range(metadata: Mapping[str, Any]) -> str:
    """Return the bounds of a `number` as text, such as " > 0 and <= 1"; "" without any."""
    low, high = _bounds(metadata)
    parts = []
    if math.isfinite(low):
        parts.append(f"{'>' if metadata.get('open_min') else '>='} {low:g}")
    if math.isfinite(high):
        parts.append(f"{'<' if metadata.get('open_max') else '<='} {high:g}")
    return f" {' and '.join(parts)}" if parts else ""


def _quotes_hint(value: object) -> str:
    if not isinstance(value, str):
        return ""
    try:
        float(value)
    except ValueError:
        return ""
    return " (a text; write it without quotes)"
