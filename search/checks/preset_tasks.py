"""Problems of what a preset brings, named as the preset's: the user wrote its name, not its keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from foldtune.errors import InputError
from foldtune.spaces.presets import list_presets, preset_of, tasks_of


def check_with_presets(space: Mapping[Any, Any], task: str, check: Callable[[], None]) -> None:
    """Run a check of a space whose problems are `space.key: reason`.

    Args:
        space: as the user wrote it.
        task: name of the task.

    Raises:
        InputError: the problems; of a preset for other tasks one, with the presets for this one.
    """
    try:
        check()
    except InputError as error:
        raise InputError(list(dict.fromkeys(_named(problem, space, task) for problem in error.problems))) from None


def _named(problem: str, space: Mapping[Any, Any], task: str) -> str:
    key = problem.removeprefix("space.").partition(": ")[0]
    preset = preset_of(space, key.partition(".")[0])
    if preset is None:
        return problem
    if task in tasks_of(preset):
        return f"{problem} (preset {preset!r} brings it: another {key.partition('.')[0]} in its place overrides it)"
    fitting = ", ".join(name for name in list_presets() if task in tasks_of(name))
    return f"space.preset: {preset!r} is for {' and '.join(tasks_of(preset))}, not for task {task}; for it: {fitting}"
