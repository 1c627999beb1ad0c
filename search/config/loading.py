"""From YAML text and `--set` overrides to a RunConfig, with every problem reported at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from foldtune.errors import InputError
from foldtune.home import expanded
from foldtune.redaction import redacted
from foldtune.search.config.messages import describe, section_keys, shown, unsound_keys
from foldtune.search.config.metric_file import resolved_file
from foldtune.search.config.preset_files import expand_preset_files
from foldtune.search.config.pretrained_files import with_files
from foldtune.search.config.schema import RunConfig
from foldtune.trainers.data.readers import find_reader
from foldtune.trainers.tasks import TASKS
from foldtune.wording import did_you_mean_file
from foldtune.yaml import parse_yaml, read_yaml_text

_WITH_PATHS = {"data", "search", "space"}
"""Sections with paths of files, which are relative to the configuration's folder."""
KINDS = {list: "a list", str: "text", type(None): "empty"}


class FormError(InputError):
    """Keys or values of the wrong form, with the part that could be read.

    Attributes:
        config: configuration without the keys in `unsound`, which have their defaults.
        unsound: keys with a problem, as `search.metric`, or `search` where nothing of a section can be used; and those
            that a misspelt key may have meant.
    """

    def __init__(self, problems: Sequence[str], config: RunConfig, unsound: Collection[str]) -> None:
        super().__init__(problems)
        self.config = config
        self.unsound = frozenset(unsound)


def load_config(path: Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> RunConfig:
    """Return the checked configuration of a file with overrides.

    Args:
        path: YAML file; relative data paths in it are relative to its folder.
        overrides: texts `key.path=value`, the value in YAML.
        values: values by key path, applied last; None leaves the key unchanged.

    Raises:
        FormError: keys or values of the wrong form, every one of them.
        InputError: no such file, not YAML, a malformed override.
    """
    return check(read_raw(path, overrides, values), path.parent)


def read_raw(path: Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> dict[Any, Any]:
    """Return the plain values of a configuration file with overrides. Takes what `load_config` takes.

    Raises:
        InputError: no such file, not YAML, a malformed override.
    """
    raw = parse_yaml(_read(path), str(path))
    if not isinstance(raw, dict):
        keys = ", ".join(RunConfig.model_fields)
        kind = KINDS.get(type(raw), f"the value {shown(raw)}")
        raise InputError(f"{path}: is {kind}; a configuration is a mapping of keys ({keys})")
    _override(raw, overrides, {key: value for key, value in (values or {}).items() if value is not None})
    expand_preset_files(raw, path.parent)
    return raw


def check(raw: Mapping[str, Any], folder: Path) -> RunConfig:
    """Return the checked configuration of plain values; an empty section counts as absent.

    Args:
        folder: folder to which relative data paths refer.

    Raises:
        FormError: keys or values of the wrong form, every one of them.
    """
    raw = {key: value for key, value in raw.items() if value is not None}
    if "targets" in raw:
        raise InputError("targets: this command takes a configuration of one task, not one of several targets")
    raw = with_own_target(raw, folder)
    try:
        config = RunConfig.model_validate(raw)
    except ValidationError as error:
        details = error.errors()
        unsound = unsound_keys(details)
        sound = _sound_part(raw, unsound, folder)
        raise FormError([describe(detail) for detail in details], sound, unsound) from None
    return config.model_copy(update={name: _resolved(name, getattr(config, name), folder) for name in _WITH_PATHS})


def _sound_part(raw: Mapping[str, Any], unsound: set[str], folder: Path) -> RunConfig:
    """Return the configuration without unsound keys; a key that needs one of these is added to them."""
    values: dict[str, Any] = {}
    for name, field in RunConfig.model_fields.items():
        while name in raw and name not in unsound:
            kind: Any = field.annotation
            try:
                values[name] = TypeAdapter(kind).validate_python(_without(raw[name], name, unsound))
                break
            except ValidationError as error:
                found = {f"{name}.{detail['loc'][0]}" for detail in error.errors() if detail["loc"]}
                unsound |= found if found - unsound else {name}
    for name in _WITH_PATHS & values.keys():
        values[name] = _resolved(name, values[name], folder)
    return RunConfig.model_construct(**values)


def _resolved(section: str, value: Any, folder: Path) -> Any:
    if section == "space":
        return with_files(value, lambda path: str(resolved_file(path, folder)))
    return value.resolved(folder)


def _without(given: Any, section: str, unsound: Collection[str]) -> Any:
    if section_keys(section) is None or not isinstance(given, Mapping):
        return given
    return {key: value for key, value in given.items() if f"{section}.{key}" not in unsound}


def _read(path: Path) -> str:
    try:
        return read_yaml_text(path)
    except OSError as error:
        raise InputError(f"cannot read the configuration {path}: {error.strerror}{beside(path)}") from None


def beside(path: Path) -> str:
    """Return the end of a message: the YAML file in the same folder that was probably meant, or ""."""
    if path.is_dir() or not path.parent.is_dir():
        return ""
    entries = sorted(str(entry) for entry in path.parent.iterdir() if entry.suffix in (".yaml", ".yml"))
    return did_you_mean_file(path.name, entries)


def _override(raw: dict[Any, Any], overrides: Sequence[str], values: Mapping[str, Any]) -> None:
    problems: list[str] = []
    for override in overrides:
        key, equals, text = override.partition("=")
        try:
            if not equals or not all(key.strip().split(".")):
                raise InputError(
                    f"--set {redacted(override)!r}: write key.path=value, for example --set search.num_samples=20"
                )
            override_value(raw, key.strip(), parse_yaml(text, f"--set {redacted(override)}"))
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(problems)
    for key, value in values.items():
        override_value(raw, key, value)


def override_value(raw: dict[Any, Any], key: str, value: Any) -> None:
    """Set the value at a key path. Raises InputError where a parent holds no keys."""
    *parents, last = key.split(".")
    node: Any = raw
    for depth, name in enumerate(parents, start=1):
        if node.get(name) is None:
            node[name] = {}
        node = node[name]
        if not isinstance(node, dict):
            raise InputError(f"--set {key}: {'.'.join(parents[:depth])} holds the value {shown(node)}, not keys")
    node[last] = value


def with_own_target(raw: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """Return the values of a configuration with `data.target`, where the labelled rows bring labels and it lacks.

    Args:
        folder: folder to which relative data paths refer.
    """
    data, task = raw.get("data"), TASKS.get(str(raw.get("task")))
    if not isinstance(data, Mapping) or data.get("target") is not None or task is None:
        return raw
    root, train = data.get("root") or ".", data.get("train")
    if not isinstance(root, str) or not isinstance(train, str):
        return raw
    try:
        reader = find_reader(folder / expanded(root) / expanded(train), task.readers)
    except (OSError, ValueError, InputError):  # what is wrong with the path is named where it is read
        return raw
    own = reader.own_target if reader is not None else None
    return raw if own is None else {**raw, "data": {**data, "target": own}}
