"""A parsed space as a flat list of entries: parameters that are sampled, and the constants between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foldtune.spaces.domains import Domain
from foldtune.spaces.scalars import Scalar, yaml_text


@dataclass(frozen=True)
class Location:
    """Where an entry stands and when it counts.

    `name` is its flat name (`loss.focal.gamma`), `location` its keys in the built configuration (`loss`,
    `gamma`), `conditions` the branches that must be taken for it to count, outermost first, as (parameter,
    branch).
    """

    name: str = ""
    keys: tuple[str, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()

    def child(self, key: str) -> Location:
        """The place of `key` in the section that stands here."""
        name = f"{self.name}.{key}" if self.name else key
        return Location(name, (*self.keys, key), self.conditions)

    def branch(self, branch: str) -> Location:
        """The place of the parameters of `branch`, where a choice with branches stands here."""
        return Location(f"{self.name}.{branch}", self.keys, (*self.conditions, (self.name, branch)))

    def active(self, values: Mapping[str, Scalar]) -> bool:
        """Whether the branches taken in `values` lead here."""
        return all(values.get(parent) == branch for parent, branch in self.conditions)

    def condition(self) -> str:
        """The conditions for a reader: `loss = focal`; empty where there are none."""
        return ", ".join(f"{parent} = {branch}" for parent, branch in self.conditions)


@dataclass(frozen=True)
class Parameter:
    """A value that is sampled."""

    location: Location
    domain: Domain

    @property
    def name(self) -> str:
        return self.location.name


@dataclass(frozen=True)
class Constant:
    """A value that is given: a scalar, or an empty section (`{}`)."""

    location: Location
    value: Scalar | Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.location.name

    def describe(self) -> str:
        """The value as YAML writes it."""
        return "{}" if isinstance(self.value, Mapping) else yaml_text(self.value)


Entry = Parameter | Constant
