"""Findings as a YAML page, each with its reason as a comment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from foldtune.search.init.findings import Finding
from foldtune.yaml import dump_yaml

_COLUMN = 60
"""Column at which short lines' comments begin."""


def write_page(title: str, findings: Sequence[Finding]) -> str:
    """Return the YAML; the sections of key paths are mappings, and each reason is a comment.

    >>> print(write_page("two", [Finding("name", "a", "of the folder"), Finding("data.target", "dx")]))
    # two
    name: a                                                     # of the folder
    data:
      target: dx
    <BLANKLINE>
    """
    lines = [f"# {line}" for line in title.splitlines()]
    open_parts: list[str] = []
    for finding in findings:
        *parts, key = finding.key.split(".")
        pairs = enumerate(zip(parts, open_parts, strict=False))
        shared = next((n for n, (a, b) in pairs if a != b), min(len(parts), len(open_parts)))
        lines += ["  " * depth + f"{flow(parts[depth])}:" for depth in range(shared, len(parts))]
        open_parts = parts
        text = "  " * len(parts) + f"{flow(key)}: {flow(finding.value)}"
        lines.append(f"{text:<{_COLUMN - 1}} # {finding.why}" if finding.why else text)
    return "\n".join(lines) + "\n"


def flow(value: Any) -> str:
    """Return a plain value as YAML on one line.

    >>> flow({"choice": ["a", "no", 1e-3]})
    "{choice: [a, 'no', 0.001]}"
    """
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_inside(key)}: {flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_inside(each) for each in value) + "]"
    return dump_yaml({"k": value}).removeprefix("k:").strip()


def _inside(value: Any) -> str:
    """Return a value inside a flow collection, where some characters need quotes that need none elsewhere."""
    text = flow(value)
    plain = isinstance(value, str) and text[:1] not in "'\""
    return f"'{text}'" if plain and set(text) & set(",[]{}:#") else text
