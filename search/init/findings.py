"""What the user stated, what was found out and only the user can decide, and the findings as commented YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.yaml import dump_yaml


@dataclass(frozen=True)
class Stated:
    """What the user decided by flags; None, or nothing, where the data are to show it."""

    train: Path | None = None
    valid: Path | None = None
    test: Path | None = None
    sample: Path | None = None
    images: Path | None = None
    id: tuple[str, ...] = ()
    target: tuple[str, ...] = ()
    task: str | None = None
    group: str | None = None
    case: str | None = None
    positive: str | None = None
    metric: str | None = None
    image_size: int | None = None
    encoding: str | None = None


@dataclass(frozen=True)
class Finding:
    """A value of the configuration, and why it has it.

    Attributes:
        key: key path, such as `data.target`.
        why: the reason, for people; a comment of the YAML.
    """

    key: str
    value: Any
    why: str = ""


class Undecided(InputError):
    """What the data do not show; the message names the flag that decides."""

    def __init__(self, what: str, flag: str, choices: Sequence[str] = ()) -> None:
        shown = f": {', '.join(choices[:12])}{', …' if len(choices) > 12 else ''}" if choices else ""
        super().__init__(f"{what}{shown}; decide by {flag}")


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
        lines.append(f"{text:<{_COLUMN}}# {finding.why}" if finding.why else text)
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


def in_sections(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with those of a section together, sections in the order of their first."""
    order = {section: place for place, section in enumerate(dict.fromkeys(_section(each) for each in findings))}
    return sorted(findings, key=lambda each: order[_section(each)])


def _section(finding: Finding) -> tuple[str, ...]:
    parts = finding.key.split(".")
    return tuple(parts[:2]) if parts[0] == "targets" else tuple(parts[:1])
