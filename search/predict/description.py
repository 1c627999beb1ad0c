"""Checks of a stored ensemble before it predicts, beyond the form of its JSON: its task's rules, its weights' files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from foldtune.errors import Problem, RunCorrupt, SettingsError
from foldtune.results.storage.paths import StorePath
from foldtune.search.voting.combiner import METHODS
from foldtune.search.voting.stacking import Stacker
from foldtune.trainers.images.preprocess import parse_steps
from foldtune.trainers.loading.tta import TTA
from foldtune.trainers.networks.weights import read_shapes
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.parsing import parse_settings

REQUIRED = ("task", "voting", "min_votes", "members", "postprocess", "member_postprocess")
"""Keys of ensemble.json without which scores cannot be combined."""
REQUIRED_TO_PREDICT = ("folds", "image_size", "resize")
"""Keys without which images cannot be predicted."""


def check_description(description: Mapping[str, Any], task: Task, path: StorePath) -> None:
    """Check what an ensemble's JSON holds against its task.

    Raises:
        RunCorrupt: the problems, each with file and field.
    """
    problems = _postprocess_problems(description["postprocess"], task, "postprocess")
    for place, own in enumerate(description.get("member_postprocess") or ()):
        problems += _postprocess_problems(own, task, f"member_postprocess.{place}")
    if description["voting"] not in METHODS:
        problems.append(Problem("voting", f"must be one of {', '.join(METHODS)}"))
    if description.get("stacker"):
        problems += _stacker_problems(description["stacker"], task, len(description["members"]))
    for key, values in {"": description, **dict(_keyed(description["members"]))}.items():
        problems += [Problem(f"{key}{each.path}", each.message) for each in _view_problems(values)]
    _refuse(problems, path)


def _stacker_problems(values: Mapping[str, Any], task: Task, members: int) -> list[Problem]:
    try:
        fits = Stacker.from_dict(values).fits(task, members)
    except (KeyError, TypeError, ValueError) as error:
        return [Problem("stacker", f"cannot be read: {error}")]
    return [] if fits else [Problem("stacker", "is none of these members and labels")]


def check_members(description: Mapping[str, Any], task: Task, path: StorePath) -> None:
    """Check that the configuration of each member is one of its task.

    Raises:
        RunCorrupt: the problems, each with file and field.
    """
    problems = [
        Problem(f"{key}{each.path}", each.message)
        for key, member in _keyed(description["members"])
        for each in _member_problems(member, task)
    ]
    _refuse(problems, path)


def _refuse(problems: Sequence[Problem], path: StorePath) -> None:
    if problems:
        raise RunCorrupt(f"{path}: {'; '.join(map(str, problems[:3]))}")


def check_weights(files: Sequence[StorePath]) -> None:
    """Check that the fold models of a member have files on this machine that open, and hold one network.

    Files in an object store are checked when they are loaded.

    Raises:
        RunCorrupt: a file is gone.
        WorkError: one is damaged, or of another network than the first.
    """
    shapes = None
    for path in files:
        if not isinstance(path, Path):
            continue
        if not path.is_file():
            raise RunCorrupt(f"cannot read weights {path}: the file is gone")
        own = read_shapes(path)
        if shapes is not None and own != shapes:
            differing = sorted(name for name in own.keys() | shapes.keys() if own.get(name) != shapes.get(name))
            raise RunCorrupt(f"{path}: is of another network than {files[0].name} beside it (first: {differing[0]})")
        shapes = own


def _keyed(members: Sequence[Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    return [(f"members.{place}.", member) for place, member in enumerate(members)]


def _postprocess_problems(values: Mapping[str, Any], task: Task, key: str) -> list[Problem]:
    return [Problem(each.path.replace("postprocess", key, 1), each.message) for each in task.check_postprocess(values)]


def _view_problems(values: Mapping[str, Any]) -> list[Problem]:
    try:
        parse_steps(values.get("preprocess"))
    except SettingsError as error:
        return [Problem(f"preprocess.{each.path}".rstrip("."), each.message) for each in error.problems]
    tta = values.get("tta")
    return [] if tta is None or tta in TTA else [Problem("tta", f"must be one of {', '.join(TTA)}, not {tta!r}")]


def _member_problems(member: Mapping[str, Any], task: Task) -> list[Problem]:
    if member.get("config") is None:
        return [Problem("config", "is missing")]
    try:
        parse_settings(member["config"], task)
    except SettingsError as error:
        return [Problem(f"config.{each.path}", each.message) for each in error.problems]
    return []
