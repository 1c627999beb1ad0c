"""Messages for the errors that pydantic finds in a configuration's form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from foldtune.redaction import redacted
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.sections.section import Section
from foldtune.wording import close_matches, unknown

NOUNS: Mapping[object, str] = {int: "an integer", float: "a number", dict: "a mapping of keys"}
BOUNDS = (
    (annotated_types.Ge, "ge", ">="),
    (annotated_types.Gt, "gt", ">"),
    (annotated_types.Le, "le", "<="),
    (annotated_types.Lt, "lt", "<"),
)


def describe(detail: ErrorDetails) -> str:
    """Return one problem as `key.path: what is wrong and what is valid`."""
    loc = tuple(map(str, detail["loc"]))
    return f"{'.'.join(_from_one(loc))}: {_reason(detail, loc)}"


def _from_one(loc: tuple[str, ...]) -> Iterator[str]:
    """Yield the parts of a key path; of a list of sections the place in it, from 1 on."""
    for place, part in enumerate(loc):
        is_place = part.isdigit() and place > 1 and Ellipsis in get_args(_field(loc[:place]).annotation)
        yield str(int(part) + 1) if is_place else part


def _reason(detail: ErrorDetails, loc: tuple[str, ...]) -> str:
    given = detail["input"]
    match detail["type"]:
        case "extra_forbidden":
            return _unknown_key(loc)
        case "invalid_key":
            return f"a key must be text, not {shown(given)}: quote it"
        case "missing":
            return f"missing; give the {_field(loc).description}"
        case "stated":
            return detail["msg"]
        case "value_error":
            reason = detail["msg"].removeprefix("Value error, ")
            return reason if reason.startswith(shown(given)) else f"{reason}, not {shown(given)}"
        case "literal_error":
            return unknown("value", str(given), map(str, get_args(_type(_field(loc)))))
    return f"must be {_expected(_field(loc))}, not {shown(given)}{_hint(_field(loc), given)}"


def shown(value: object) -> str:
    """Return a value for a message, as Python writes it, without secrets, cut to 60 characters."""
    text = "nothing" if value is None else redacted(repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unknown_key(loc: tuple[str, ...]) -> str:
    key = loc[-1]
    valid = [*_model(loc[:-1]).model_fields, *(["targets"] if len(loc) == 1 else [])]
    elsewhere = _keys_named(key)
    if elsewhere and not close_matches(key, valid):
        return f"unknown key {key!r} here; did you mean {elsewhere[0]!r}? valid: {', '.join(valid)}"
    return unknown("key", key, valid)


def _keys_named(key: str) -> list[str]:
    """Return the dotted keys whose last name is `key`."""
    sections = {name: section_keys(name) for name in RunConfig.model_fields}
    return [f"{name}.{key}" if keys else name for name, keys in sections.items() if key in (keys or (name,))]


def _model(loc: tuple[str, ...]) -> type[BaseModel]:
    model: type[BaseModel] = RunConfig
    for part in loc:
        if not part.isdigit():  # else the place in a list of such sections
            model = _type(model.model_fields[part])
    return model


def _field(loc: tuple[str, ...]) -> FieldInfo:
    """The field of a key path; for a part of a plain value (`space.3`) the field that holds the value."""
    section, *rest = (part for part in loc if not part.isdigit())
    field = RunConfig.model_fields[section]
    for part in rest:
        inner = _type(field)
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        field = inner.model_fields[part]
    return field


def _type(field: FieldInfo) -> Any:
    """Type of a field; of an optional one without None, of a list of sections that of one."""
    choices = [choice for choice in get_args(field.annotation) if choice is not type(None)]
    if choices[1:] == [Ellipsis] and isinstance(choices[0], type) and issubclass(choices[0], BaseModel):
        return choices[0]
    is_union = type(None) in get_args(field.annotation)
    return choices[0] if is_union else field.annotation


def _expected(field: FieldInfo) -> str:
    kind = _type(field)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        keys = f"a mapping of keys ({', '.join(kind.model_fields)})"
        return f"a list, each {keys}" if Ellipsis in get_args(field.annotation) else keys
    noun = NOUNS.get(kind) or ("a mapping of keys" if get_args(kind)[:1] == (str,) else "text")
    limits = [
        f"{sign} {getattr(limit, name)}"
        for bound, name, sign in BOUNDS
        for limit in field.metadata
        if isinstance(limit, bound)
    ]
    return f"{noun} {' and '.join(limits)}".strip()


def _hint(field: FieldInfo, given: object) -> str:
    return "; quote it" if isinstance(given, int | float) and _expected(field) == "text" else ""


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
            meant = [] if section in RunConfig.model_fields else close_matches(section, RunConfig.model_fields)
            found |= {section, *meant}
        elif rest[0] not in fields:
            key = rest[0]
            found |= {f"{section}.{key}", *(f"{section}.{name}" for name in close_matches(key, fields))}
            found |= set(_keys_named(key))
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
