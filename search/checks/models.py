"""The models of a search space, each with the first configuration that has it."""

from __future__ import annotations

from typing import Any

from foldtune.spaces import Space
from foldtune.trainers.settings import TrialSettings


def model_of(config: Any) -> str:
    """Return the name of a configuration's model."""
    return str(config.get("model_name", TrialSettings().model_name))


def first_configs(space: Space) -> dict[str, dict[str, Any]]:
    """Return the first corner case of each model by its name, the default configuration's first."""
    found: dict[str, dict[str, Any]] = {}
    for _, params in space.corner_cases():
        config = space.build(params)
        found.setdefault(model_of(config), config)
    return found
