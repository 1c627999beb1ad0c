"""A configuration of several targets: one search a column of labels, from one YAML file.

`targets` stands in the place of `task` and `data.target`. Each target becomes a run of its own, with the sections that
all share and, over them, its own keys; so nothing beyond this module and `search.runs.group` knows of several targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.search.config.loading import FormError, check, override_value, read_raw
from foldtune.search.config.messages import shown
from foldtune.search.config.schema import RunConfig
from foldtune.trainers.tasks import TASKS
from foldtune.wording import unknown

TARGETS = "targets"
OWN_SECTIONS = ("data", "space", "search", "resources", "ensemble")
COMMON_DATA = ("id", "test", "sample_submission")
"""Keys of `data` that one submission of all targets has in common; where a target has its own, each has its own."""


@dataclass(frozen=True)
class TargetsFile:
    """A configuration of several targets, as plain values.

    Attributes:
        raws: configuration of the run of each target, by target.
        folder: folder to which relative data paths refer.
        joint: whether one submission has a column a target; else each target has rows to submit of its own.
    """

    name: str
    raws: Mapping[str, dict[str, Any]]
    folder: Path
    joint: bool = True

    def config(self, target: str) -> tuple[RunConfig, Path | None]:
        """The configuration of a target's run, and the sample of the common submission, None without one.

        Raises:
            FormError: keys or values of the wrong form.
        """
        try:
            config = check(self.raws[target], self.folder)
            return without_sample(config) if self.joint else (config, None)
        except FormError as error:
            problems = [f"{TARGETS}.{target}.{problem}" for problem in error.problems]
            raise FormError(problems, error.config, error.unsound) from None


@dataclass(frozen=True)
class ConfigFile:
    """The plain values of a configuration file, read once.

    Attributes:
        raw: values with the overrides applied.
        folder: folder to which relative data paths refer.
        targets: the configurations of several targets, None where the file has no `targets`.
    """

    raw: Mapping[str, Any]
    folder: Path
    targets: TargetsFile | None


def read_config_file(path: Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> ConfigFile:
    """Return the values of a configuration file, of one task or of several targets. Takes what `load_config` takes.

    Raises:
        InputError: no such file, not YAML, a malformed override, or problems in the form of `targets`.
    """
    return split_targets(read_raw(path, overrides, values), path.parent, values)


def split_targets(raw: Mapping[str, Any], folder: Path, values: Mapping[str, Any] | None = None) -> ConfigFile:
    """Return plain values of a configuration with those of its targets apart; raises as `read_config_file` does."""
    return ConfigFile(raw, folder, _targets(raw, folder, values))


def read_targets(
    path: Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None
) -> TargetsFile | None:
    """Return the targets of `read_config_file`, None where the file has no `targets`."""
    return read_config_file(path, overrides, values).targets


def _targets(raw: Mapping[str, Any], folder: Path, values: Mapping[str, Any] | None) -> TargetsFile | None:
    if TARGETS not in raw:
        return None
    raws = expand(raw)
    for merged in raws.values():
        for key, value in (values or {}).items():  # a flag is stronger than a target's own key
            if value is not None and "." in key:
                override_value(merged, key, value)
    own = [each.get("data") for each in raw[TARGETS].values() if isinstance(each, Mapping)]
    joint = not any(key in data for data in own if isinstance(data, Mapping) for key in COMMON_DATA)
    return TargetsFile(str(raw.get("name")), raws, folder, joint)


def expand(raw: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The configuration of each target's run, named NAME.TARGET: shared sections with the target's own keys over them.

    A row without a target's label is left out for that target, unless `data.on_missing` is set; a list of
    labels may be empty, so a multilabel target keeps its rows.

    Raises:
        InputError: every problem of the form of `targets`.
    """
    targets = raw[TARGETS]
    if not isinstance(targets, Mapping) or not targets:
        raise InputError(f"{TARGETS}: must be a mapping of columns to tasks, not {shown(targets)}")
    problems = []
    if raw.get("task") is not None:
        problems.append(f"task: leave it out; each of {TARGETS} names its own")
    if isinstance(raw.get("data"), Mapping) and raw["data"].get("target") is not None:
        problems.append(f"data.target: leave it out; the keys of {TARGETS} are the columns")
    for target, own in targets.items():
        problems += [f"{TARGETS}.{target}{problem}" for problem in _own_problems(target, own)]
    if problems:
        raise InputError(problems)
    return {target: _merged(raw, target, own) for target, own in targets.items()}


def _own_problems(target: object, own: object) -> list[str]:
    if not isinstance(target, str):
        return [": a key must be text: quote it"]
    if isinstance(own, str):
        return []
    if not isinstance(own, Mapping):
        return [f": must be a task's name, or a mapping with task, not {shown(own)}"]
    valid = ("task", *OWN_SECTIONS)
    problems = [f": {unknown('key', str(key), valid)}" for key in own if key not in valid]
    return problems + [
        f".{section}: must be a mapping of keys, not {shown(own[section])}"
        for section in OWN_SECTIONS
        if own.get(section) is not None and not isinstance(own[section], Mapping)
    ]


def _merged(raw: Mapping[str, Any], target: str, own: object) -> dict[str, Any]:
    given: Mapping[str, Any] = own if isinstance(own, Mapping) else {"task": own}
    merged = {key: deepcopy(value) for key, value in raw.items() if key != TARGETS}
    merged["task"] = given.get("task")
    if isinstance(raw.get("name"), str):
        merged["name"] = f"{raw['name']}.{target}"
    for section in OWN_SECTIONS:
        common, special = merged.get(section), given.get(section)
        if isinstance(common, dict) and isinstance(special, Mapping):
            merged[section] = {**common, **deepcopy(dict(special))}
        elif special is not None:
            merged[section] = deepcopy(special)
    task = TASKS.get(str(merged["task"]))
    lists_labels = task is not None and "label_separator" in task.option_names
    if isinstance(merged.get("data"), dict):
        defaults = {"target": target} | ({} if lists_labels else {"on_missing": "skip"})
        merged["data"] = {**defaults, **merged["data"]}
    return merged


def without_sample(config: RunConfig) -> tuple[RunConfig, Path | None]:
    """A target's configuration without the sample, whose columns are those of all targets; and the sample."""
    data = config.data.model_copy(update={"sample_submission": None})
    return config.model_copy(update={"data": data}), config.data.sample_submission
