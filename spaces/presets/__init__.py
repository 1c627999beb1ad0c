"""Presets: predefined spaces, one YAML file each beside this module (`description`, `tasks`, `space`)."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from foldtune.errors import Problem, SpaceError
from foldtune.wording import unknown
from foldtune.yaml import parse_yaml

_SUFFIX = ".yaml"


def list_presets() -> dict[str, str]:
    """Return the description of each preset, one line, by name; sorted by name."""
    return {name: str(_read(name)["description"]) for name in _names()}


def tasks_of(preset: str) -> tuple[str, ...]:
    """Return the names of the tasks that a preset fits."""
    return tuple(_read(preset)["tasks"])


def preset_of(mapping: Mapping[Any, Any], key: str) -> str | None:
    """Return the preset that brings a top-level key to a space; None for a key of its own, and an unknown one."""
    if "preset" not in mapping or any(str(own).partition(".")[0] == key for own in mapping):
        return None
    given = mapping["preset"]
    wanted = given if isinstance(given, list | tuple) else [given]
    valid = _names()
    return next((name for name in reversed(wanted) if name in valid and key in _read(name)["space"]), None)


def expand_presets(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """Return `mapping` with its presets' keys in place of `preset`, a self-contained record.

    Raises SpaceError where a preset is unknown.
    """
    merged, problems = merge_presets(mapping)
    if problems:
        raise SpaceError(problems)
    return merged


def merge_presets(
    mapping: Mapping[Any, Any], others: Mapping[str, Mapping[Any, Any]] | None = None
) -> tuple[dict[Any, Any], tuple[Problem, ...]]:
    """Return the result of `expand_presets`, and the problems instead of an error.

    A later preset, and then an own key, replaces a top-level key whole.

    Args:
        others: spaces of presets beside those of this folder, by name, without presets of their own.
    """
    own = {key: value for key, value in mapping.items() if key != "preset"}
    if "preset" not in mapping:
        return own, ()
    given = mapping["preset"]
    wanted = given if isinstance(given, list | tuple) else [given]
    valid, others = _names(), others or {}
    inherited: dict[Any, Any] = {}
    problems: list[Problem] = []
    for name in wanted:
        if isinstance(name, str) and name in others:
            inherited |= others[name]
        elif name in valid:
            inherited |= _read(name)["space"]
        else:
            problems.append(Problem("preset", unknown("preset", name, valid)))
    replaced = {str(key).partition(".")[0] for key in own}
    return {key: value for key, value in inherited.items() if key not in replaced} | own, tuple(problems)


def _names() -> list[str]:
    entries = (entry.name for entry in files(__name__).iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in entries if name.endswith(_SUFFIX))


def _read(name: str) -> dict[str, Any]:
    text = (files(__name__) / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
    content: dict[str, Any] = parse_yaml(text, f"preset {name}")
    return content
