"""Messages for the errors that pydantic finds in a configuration's form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from foldtune.redaction import redacted
from foldtune.search.config.schema import RunConfig
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
    return f"{'.'.join(loc)}: {_reason(detail, loc)}"


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
            return unknown("value", str(given), _choices(_field(loc)))
    return f"must be {_expected(_field(loc))}, not {shown(given)}{_hint(_field(loc), given)}"


def shown(value: object) -> str:
    """Return a value for a message, as Python writes it, without secrets, cut to 60 characters."""
    text = "nothing" if value is None else redacted(repr(value))
    return text if len(text) <= 60 else f"{text[:57]}..."


def _unknown_key(loc: tuple[str, ...]) -> str:
    key = loc[-1]
    valid = [*_model(loc[:-1]).model_fields, *(["targets"] if len(loc) == 1 else [])]
    elsewhere = [path for path in key_paths(RunConfig) if path.split(".")[-1] == key]
    if elsewhere and not close_matches(key, valid):
        return f"unknown key {key!r} here; did you mean {elsewhere[0]!r}? valid: {', '.join(valid)}"
    return unknown("key", key, valid)


def key_paths(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every value of a model."""
    for name, field in model.model_fields.items():
        inner = _type(field)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from key_paths(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def _model(loc: tuple[str, ...]) -> type[BaseModel]:
    model: type[BaseModel] = RunConfig
    for part in loc:
        model = _type(model.model_fields[part])
    return model


def _field(loc: tuple[str, ...]) -> FieldInfo:
    """The field of a key path; for a part of a plain value (`space.3`) the field that holds the value."""
    section, *rest = loc
    field = RunConfig.model_fields[section]
    inner = _type(field)
    if rest and isinstance(inner, type) and issubclass(inner, BaseModel):
        return inner.model_fields[rest[0]]
    return field


def _type(field: FieldInfo) -> Any:
    """Type of a field; of an optional one without None."""
    choices = [choice for choice in get_args(field.annotation) if choice is not type(None)]
    is_union = type(None) in get_args(field.annotation)
    return choices[0] if is_union else field.annotation


def _choices(field: FieldInfo) -> list[str]:
    return [str(choice) for choice in get_args(_type(field))]


def _expected(field: FieldInfo) -> str:
    kind = _type(field)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"a mapping of keys ({', '.join(kind.model_fields)})"
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
