"""The warm-up that a preset brings, in trainings that are as short as it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from foldtune.search.config.schema import RunConfig
from foldtune.spaces.presets import merge_presets

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
