"""From YAML text and `--set` overrides to a RunConfig, with every problem reported at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from search.config import RunConfig
from search.errors import InputError, unknown


class _Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error, not a silent overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given twice (line {line})"
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def parse_yaml(text: str, source: str) -> Any:
    """Plain Python values of a YAML text.

    Raises:
        InputError: it is not YAML, or a key is given twice.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error)
        raise InputError(f"{source}{where}: {reason}") from None


def load_config(
    path: Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> RunConfig:
    """Read, override and check a configuration file.

    Args:
        path: a YAML file; relative data paths in it are relative to its folder.
        overrides: `key.path=value` each, the value in YAML.
        values: by key path, applied last; None leaves the key as it is.

    Raises:
        InputError: every problem found, with its key path.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        raise InputError(f"cannot read the configuration {path}: {reason}") from None
    raw = parse_yaml(text, str(path))
    if not isinstance(raw, dict):
        raise InputError(f"{path}: a configuration is a mapping of keys, this is {type(raw).__name__}")
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key.strip():
            raise InputError(
                f"--set {override!r}: write key.path=value, for example --set search.num_samples=20"
            )
        _apply(raw, key.strip(), parse_yaml(text, f"--set {override}"))
    for key, value in (values or {}).items():
        if value is not None:
            _apply(raw, key, value)
    return check(raw, path.parent)


def check(raw: Mapping[str, Any], folder: Path) -> RunConfig:
    """Validate plain values; relative data paths are relative to `folder`."""
    try:
        config = RunConfig.model_validate(raw)
    except ValidationError as error:
        raise InputError([_describe(detail) for detail in error.errors()]) from None
    return config.model_copy(update={"data": config.data.resolved(folder)})


def dump_config(config: RunConfig) -> str:
    """YAML of the resolved configuration; `check` reads it back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _apply(raw: dict[Any, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    node: Any = raw
    for name in parents:
        node = node.setdefault(name, {}) if isinstance(node, dict) else None
    if not isinstance(node, dict):
        raise InputError(f"{key}: {'.'.join(parents)} holds a value, not keys")
    node[last] = value


def _describe(detail: ErrorDetails) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        valid = _fields_at(detail["loc"][:-1])
        return f"{path}: {unknown('key', str(detail['loc'][-1]), valid)}"
    if detail["type"] == "missing":
        return f"{path}: missing, and there is no default"
    if detail["type"] == "literal_error":
        expected = str(detail.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ")
        return f"{path}: {unknown('value', str(detail['input']), expected.split(', '))}"
    message = detail["msg"].removeprefix("Value error, ")
    return f"{path or 'configuration'}: {message} (given: {detail['input']!r:.80})"


def _fields_at(loc: tuple[str | int, ...]) -> list[str]:
    model: Any = RunConfig
    for part in loc:
        annotation = model.model_fields[str(part)].annotation
        choices = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
        model = next(c for c in choices if isinstance(c, type) and issubclass(c, BaseModel))
    return list(model.model_fields)
