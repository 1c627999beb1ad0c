"""A search space against the rest of a configuration: presets for other tasks, warm-up, reductions of cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd

from foldtune.errors import InputError
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.spaces import Space
from foldtune.spaces.presets import list_presets, merge_presets, preset_of, tasks_of
from foldtune.trainers.postprocess.case_scores import CASE_REDUCE
from foldtune.trainers.tasks import Task


def check_with_presets(space: Mapping[Any, Any], task: str, check: Callable[[], None]) -> None:
    """Run a check of a space whose problems are `space.key: reason`.

    Args:
        space: as the user wrote it.

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


SCHEDULE, WARMUP = "lr_scheduler", "warmup_epochs"


def with_short_warmup(config: RunConfig) -> tuple[RunConfig, tuple[str, ...]]:
    """Return the configuration with half an epoch budget of warm-up where a preset's is as long as the training.

    A warm-up that the user wrote stays as it is. Gives a line on the change, too.
    """
    if not hasattr(config, "space") or not hasattr(config, "search"):
        return config, ()
    space = short_warmup(config.space, config.search.max_epochs)
    if space is config.space:
        return config, ()
    half = config.search.max_epochs / 2
    note = f"the preset's warm-up is {half:g} epochs, half of search.max_epochs: {SCHEDULE}.{WARMUP} sets another"
    return config.model_copy(update={"space": space}), (note,)


def short_warmup(space: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Return the space, or its presets' keys with the shorter warm-up in the place of `preset`."""
    if "preset" not in space or any(str(key).partition(".")[0] == SCHEDULE for key in space):
        return space
    merged, problems = merge_presets(space)
    schedule = merged.get(SCHEDULE)
    if problems or not isinstance(schedule, Mapping):
        return space
    warmup = schedule.get(WARMUP)
    if not isinstance(warmup, int | float) or warmup < epochs:
        return space
    return {**merged, SCHEDULE: {**schedule, WARMUP: epochs / 2}}


def check_case_reduce(space: Space, case_column: str | None) -> None:
    """Check that a space reduces cases only where a configuration names them.

    Raises:
        InputError: a reduction without cases.
    """
    keys = (".".join(entry.location.keys) for entry in space.entries)
    if case_column is None and f"postprocess.{CASE_REDUCE}" in keys:
        raise InputError(
            f"space.postprocess.{CASE_REDUCE}: there are no cases; name data.case, or several columns as data.id"
        )


def check_extra_weight(space: Space, data: DataConfig) -> None:
    """Check that a space weighs rows that only ever train only where a configuration names some. Raises InputError."""
    if not data.extra and any(entry.location.keys == ("extra_weight",) for entry in space.entries):
        raise InputError("space.extra_weight: there are no such rows; name data.extra, or leave it out")


LABELS = ("1", "2")


def without_labels(task_class: type[Task]) -> Task | None:
    """Return a task of the class with labels of no meaning; None where it needs real ones, as boxes."""
    try:
        return task_class.from_frame(pd.DataFrame({"label": LABELS}), "label")
    except InputError:
        return None
