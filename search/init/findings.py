"""What the user stated, what was found out, and what only the user can decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.search.config.loading import override_value


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
        is_stated: whether the user decided it.
    """

    key: str
    value: Any
    why: str = ""
    is_stated: bool = False


def raw_of(findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings as the plain values of a configuration.

    >>> raw_of([Finding("name", "a"), Finding("data.target", "dx")])
    {'name': 'a', 'data': {'target': 'dx'}}
    """
    raw: dict[str, Any] = {}
    for finding in findings:
        override_value(raw, finding.key, finding.value)
    return raw


@dataclass(frozen=True)
class Proposal:
    """A configuration that the data suggest.

    Attributes:
        findings: its values in the order of the YAML.
        notes: what lies there and is of no use, a line each.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    def without_sample(self, problems: Sequence[str]) -> Proposal | None:
        """The same without a sample submission that nobody named and that the rows to submit do not fit.

        Args:
            problems: what the check of the configuration found.

        Returns:
            None where something else is wrong.
        """
        values = {each.key: str(each.value) for each in self.findings if not each.is_stated}
        sample = values.get(_SAMPLE)
        if sample is None or not all(_is_of_submission(text) for text in problems):
            return None
        gone = (_SAMPLE, "data.test", "data.test_images") if values.get("data.test") == sample else (_SAMPLE,)
        line = f"not used: {sample}: {problems[0]}; --sample FILE names another"
        return Proposal(tuple(each for each in self.findings if each.key not in gone), (*self.notes, line))


_SAMPLE = "data.sample_submission"


def _is_of_submission(problem: str) -> bool:
    return problem.partition(":")[0].endswith((_SAMPLE, "data.test"))


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
