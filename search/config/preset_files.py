"""`space.preset: FILE.yaml`: a team's own preset, whose keys take the place of its name where a file is read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from foldtune.errors import InputError
from foldtune.home import expanded
from foldtune.search.config.messages import shown
from foldtune.search.config.metric_file import resolved_file
from foldtune.search.config.pretrained_files import with_files
from foldtune.spaces.presets import list_presets, merge_presets
from foldtune.wording import did_you_mean_file, unknown
from foldtune.yaml import parse_yaml, read_yaml_text

_KEYS = ("description", "tasks", "space")
_MAX_DEPTH = 8


def expand_preset_files(raw: dict[Any, Any], folder: Path) -> None:
    """Put the keys of presets in files in their place, in `space` and in that of each target.

    Args:
        folder: folder to which relative paths refer.

    Raises:
        InputError: a file that is not there, or that is no preset, each.
    """
    targets = raw.get("targets")
    sections = (raw, *(targets.values() if isinstance(targets, Mapping) else ()))
    task = raw.get("task")
    for section in sections:
        if isinstance(section, dict) and isinstance(section.get("space"), Mapping):
            section["space"] = _expanded(section["space"], section.get("task", task), folder, 0)


def _expanded(space: Mapping[Any, Any], task: object, folder: Path, depth: int) -> Mapping[Any, Any]:
    given = space.get("preset")
    files = [
        each for each in (given if isinstance(given, list) else [given]) if isinstance(each, str) and _is_file(each)
    ]
    if depth == 0 and not files:
        return space
    own = {name: _read(folder / expanded(name), name, task, depth) for name in files}
    merged, problems = merge_presets(space, own)
    if problems:
        raise InputError([f"space.{problem.path}: {problem.message}" for problem in problems])
    return merged


def _is_file(name: str) -> bool:
    return name.lower().endswith((".yaml", ".yml"))


def _read(path: Path, name: str, task: object, depth: int) -> Mapping[Any, Any]:
    key = f"space.preset: {name}"
    if depth == _MAX_DEPTH:
        raise InputError(f"{key}: presets name one another more than {_MAX_DEPTH} deep")
    try:
        content = parse_yaml(read_yaml_text(path), str(path))
    except OSError as error:
        near = did_you_mean_file(path.name, [str(each) for each in path.parent.glob("*.y*ml")])
        names = ", ".join(list_presets())
        raise InputError(f"{key}: {path}: {error.strerror}{near}; valid: a file, or one of {names}") from None
    if not isinstance(content, Mapping) or not isinstance(content.get("space"), Mapping):
        raise InputError(f"{key}: a preset is a mapping with the key space, and description and tasks where wanted")
    if strange := [each for each in content if each not in _KEYS]:
        raise InputError(f"{key}: {unknown('key of a preset', str(strange[0]), _KEYS)}")
    tasks = content.get("tasks")
    if tasks is not None and not isinstance(tasks, list):
        raise InputError(f"{key}: tasks must be a list of tasks' names, not {shown(tasks)}")
    if tasks and task not in tasks:
        raise InputError(f"{key}: is for {' and '.join(map(str, tasks))}, not for task {task}")
    space = with_files(content["space"], lambda file: str(resolved_file(file, path.parent)))
    return _expanded(space, task, path.parent, depth + 1)
