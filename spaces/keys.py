"""Dotted keys: `loss.gamma: 2` is equivalent to `loss: {gamma: 2}`, and the two may be mixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foldtune.errors import Problem


def nest(mapping: Mapping[Any, Any], path: str) -> tuple[dict[str, Any], list[Problem]]:
    """Return one level of the `mapping` at `path` with its dotted keys nested, and the problems of its keys.

    A key that is given twice, or both as a value and as a section, is a problem. Deeper levels stay as given.
    """
    folded: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in mapping.items():
        if not isinstance(key, str):
            problems.append(Problem(path, not_text("key", key)))
            continue
        head, *rest = key.split(".")
        if not head or not all(rest):
            problems.append(Problem(path, f"key {key!r} has an empty part; write names joined by single dots"))
            continue
        inner = _wrap(rest, value)
        if head in folded:
            folded[head], clashes = _merge(folded[head], inner, join(path, head))
            problems += clashes
        else:
            folded[head] = inner
    return folded, problems


def join(path: str, key: str) -> str:
    """Return the path of `key` below `path`."""
    return f"{path}.{key}" if path else key


def not_text(kind: str, given: object) -> str:
    """Return the message for a key that YAML did not read as text."""
    hint = "YAML reads true, false, null and numbers as values: quote it"
    return f"{kind} {given!r} is not text; {hint}"


def _wrap(keys: list[str], value: object) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _merge(first: object, second: object, path: str) -> tuple[Any, list[Problem]]:
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return first, [Problem(path, "given twice, once nested and once dotted; keep one")]
    merged = dict(first)
    problems: list[Problem] = []
    for key, value in second.items():
        if key in merged:
            merged[key], clashes = _merge(merged[key], value, join(path, str(key)))
            problems += clashes
        else:
            merged[key] = value
    return merged, problems
