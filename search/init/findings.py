"""What the user stated, what was found out, and what only the user can decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldtune.errors import InputError


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


def in_sections(findings: Sequence[Finding]) -> list[Finding]:
    """Return the findings with those of a section together, sections in the order of their first."""
    order = {section: place for place, section in enumerate(dict.fromkeys(_section(each) for each in findings))}
    return sorted(findings, key=lambda each: order[_section(each)])


def _section(finding: Finding) -> tuple[str, ...]:
    parts = finding.key.split(".")
    return tuple(parts[:2]) if parts[0] == "targets" else tuple(parts[:1])
