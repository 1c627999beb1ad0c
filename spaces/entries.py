"""A parsed space as a flat list of entries: parameters that are sampled, and the constants between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from foldtune.spaces.domains import Domain
from foldtune.spaces.scalars import Scalar, yaml_text


@dataclass(frozen=True)
class Location:
    """Location of an entry in a space.

    Attributes:
        name: flat name (`loss.focal.gamma`).
        keys: keys in the built configuration (`loss`, `gamma`).
        conditions: (parameter, branch) pairs under which the entry is active, outermost first.
    """

    name: str = ""
    keys: tuple[str, ...] = ()
    conditions: tuple[tuple[str, str], ...] = ()

    def child(self, key: str) -> Location:
        """Return the location of `key` in the section at this location."""
        name = f"{self.name}.{key}" if self.name else key
        return Location(name, (*self.keys, key), self.conditions)

    def branch(self, branch: str) -> Location:
        """Return the location of the parameters of a branch of the choice at this location."""
        return Location(f"{self.name}.{branch}", self.keys, (*self.conditions, (self.name, branch)))

    def active(self, values: Mapping[str, Scalar]) -> bool:
        """Return whether the branches in `values` are those of the conditions."""
        return all(values.get(parent) == branch for parent, branch in self.conditions)

    def condition(self) -> str:
        """Return the conditions as text: `loss = focal`; empty without conditions."""
        return ", ".join(f"{parent} = {branch}" for parent, branch in self.conditions)


@dataclass(frozen=True)
class Parameter:
    """A sampled value."""

    location: Location
    domain: Domain

    @property
    def name(self) -> str:
        return self.location.name


@dataclass(frozen=True)
class Constant:
    """A fixed value: a scalar, or an empty section (`{}`)."""

    location: Location
    value: Scalar | Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.location.name

    def describe(self) -> str:
        """Return the value as YAML."""
        return "{}" if isinstance(self.value, Mapping) else yaml_text(self.value)


Entry = Parameter | Constant
