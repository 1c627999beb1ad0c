"""The configurations of an ablation: a base, and each other choice of some parameters with all else as in the base."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from foldtune.errors import InputError
from foldtune.spaces import Space
from foldtune.spaces.scalars import Scalar, yaml_text
from foldtune.wording import unknown


@dataclass(frozen=True)
class Variation:
    """A configuration and what of it differs from the base.

    Attributes:
        label: as `loss=focal`; the base has each varied key.
        params: flat parameters.
    """

    label: str
    params: Mapping[str, Scalar]


def variations(space: Space, base: Mapping[str, Scalar], keys: Sequence[str]) -> list[Variation]:
    """Return the base, then each other value of each key, whose own parameters have their defaults.

    Raises:
        InputError: keys that are not sampled, have no finite number of values, or belong to a branch not taken.
    """
    problems = [text for key in keys if (text := _problem(space, base, key))]
    if problems:
        raise InputError(problems)
    keys = list(dict.fromkeys(keys))
    found = [Variation(", ".join(f"{key}={yaml_text(base[key])}" for key in keys), base)]
    domains = {each.name: each.domain for each in space.parameters}
    for key in keys:
        found += [
            Variation(f"{key}={yaml_text(value)}", space.completed({**base, key: value}))
            for value in domains[key].grid_values()
            if value != base[key]
        ]
    if len(found) == 1:
        raise InputError(f"--vary {keys[0]}: it has one value, {yaml_text(base[keys[0]])}: nothing to compare")
    return found


def _problem(space: Space, base: Mapping[str, Any], key: str) -> str | None:
    parameter = next((each for each in space.parameters if each.name == key), None)
    if parameter is None:
        constant = next((each for each in space.entries if each.name == key), None)
        if constant is not None:
            return f"--vary {key}: it is a constant of the space; write {{choice: […]}} to vary it"
        return f"--vary: {unknown('parameter', key, space.names())}"
    if key not in base:
        return f"--vary {key}: counts only with {parameter.location.condition()}, which the base has not"
    if not parameter.domain.grid_values():
        return f"--vary {key}: {parameter.domain.describe()} has no end of values; give the range a grid: [value, …]"
    return None
