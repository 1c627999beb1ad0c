"""Which keys of a configuration cannot be used, by the problems of its form."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic_core import ErrorDetails

from foldtune.search.config.messages import key_paths
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.section import Section
from foldtune.wording import close_matches


def unsound_keys(details: Iterable[ErrorDetails]) -> set[str]:
    """Return the keys with a problem, and those that a misspelt key may have meant.

    Returns:
        `section.key`, or the section alone where it is no mapping or lacks a key that it must have.
    """
    found: set[str] = set()
    for detail in details:
        section, *rest = map(str, detail["loc"])
        fields = section_keys(section)
        if not rest or fields is None:
            found |= {section} | (
                _meant(section, RunConfig.model_fields) if section not in RunConfig.model_fields else set()
            )
        elif rest[0] not in fields:
            key = rest[0]
            found |= {f"{section}.{key}", *(f"{section}.{name}" for name in _meant(key, fields))}
            found |= {path for path in key_paths(RunConfig) if path.split(".")[-1] == key}
        elif fields[rest[0]]:
            found.add(section)
        else:
            found.add(f"{section}.{rest[0]}")
    return found


def section_keys(section: str) -> dict[str, bool] | None:
    """Return the keys of a section and whether each is required; None for a key without keys of its own."""
    kind = RunConfig.model_fields[section].annotation if section in RunConfig.model_fields else None
    if not isinstance(kind, type) or not issubclass(kind, Section):
        return None
    return {name: field.is_required() for name, field in kind.model_fields.items()}


def _meant(key: str, names: Iterable[str]) -> set[str]:
    return set(close_matches(key, names))
