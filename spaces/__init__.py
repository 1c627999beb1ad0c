"""Declarative, conditional search spaces and their Optuna distributions."""

from __future__ import annotations

from foldtune.spaces.presets import expand_presets, list_presets
from foldtune.spaces.space import ParameterRow, Space

__all__ = ["ParameterRow", "Space", "expand_presets", "list_presets"]
