"""Declarative, conditional search spaces and their Optuna distributions."""

from __future__ import annotations

from spaces.errors import Problem, SpaceError
from spaces.presets import expand_presets, list_presets
from spaces.space import ParameterRow, Space

__all__ = ["ParameterRow", "Problem", "Space", "SpaceError", "expand_presets", "list_presets"]
