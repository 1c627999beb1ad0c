"""Whether the networks of a search space can train on the rows of a run, found without memory and in bounded time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import InputError, Problem, SettingsError
from foldtune.spaces import Space
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.network import DryRun
from foldtune.trainers.tasks.parsing import parse_settings

MAX_S = 30.0
"""Seconds after which the networks that are left are not tried."""


def check_trainable(
    space: Space,
    task: Task,
    targets: npt.NDArray[Any],
    folds: npt.NDArray[np.int64],
    image_size: tuple[int, int],
    *,
    draws: Iterable[Mapping[str, Any]] = (),
) -> tuple[str, ...]:
    """Run the smallest and the last batch of an epoch through each network of a space, in training mode.

    Args:
        targets: (N, ...) targets of the labelled rows.
        folds: (N,) fold of each row, -1 for one that only trains; a training has all but one of them.
        image_size: height and width of the prepared images.
        draws: parameters that are tried beside the space's corner cases.

    Returns:
        Lines on what was not tried, and on settings beyond what a network has.

    Raises:
        InputError: `space.key: reason` each.
    """
    begun = time.monotonic()
    classes = task.sampling_classes(targets)
    trainings = [classes[folds != fold] for fold in np.unique(folds[folds >= 0])]
    networks: dict[tuple[object, ...], DryRun] = {}
    problems: dict[str, None] = {}
    notes: dict[str, None] = {}
    late: set[str] = set()
    for params, settings in _configurations(space, task, draws):
        form = _form(settings)
        if form not in networks:
            if time.monotonic() - begun > MAX_S:
                late.add(settings.model_name)
                continue
            networks[form] = _dry_run(task, settings, image_size)
        network = networks[form]
        if (problem := network.problem or network.batch_problem(settings, trainings)) is not None:
            problems.setdefault(_named(space, params, problem))
        elif network.layer_groups is not None and settings.train_last > network.layer_groups:
            notes.setdefault(
                f"space.train_last: model '{settings.model_name}' has {network.layer_groups} layer groups; "
                f"{settings.train_last} trains all of them"
            )
    if problems:
        raise InputError(list(problems))
    if late:
        notes.setdefault(f"not tried whether they can train, for want of time: {', '.join(sorted(late))}")
    return tuple(notes)


@lru_cache(maxsize=32)
def _dry_run(task: Task, settings: TrialSettings, image_size: tuple[int, int]) -> DryRun:
    """Return a network without memory; targets of a group, and checks in one process, have many in common."""
    return DryRun(task, settings, image_size)


def _configurations(
    space: Space, task: Task, draws: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], TrialSettings]]:
    for params in (*(each for _, each in space.corner_cases()), *draws):
        try:
            yield params, parse_settings(space.build(params), task)
        except SettingsError:  # a problem of its own
            continue


def _form(settings: TrialSettings) -> tuple[object, ...]:
    """Return what decides whether the network can train; sizes and rates of its head do not."""
    crop = settings.crop.params.get("size")
    return settings.model_name, settings.head.name, settings.loss.name, crop, settings.train_last


def _named(space: Space, params: Mapping[str, Any], problem: Problem) -> str:
    names = {".".join(entry.location.keys): entry.name for entry in space.entries if entry.location.active(params)}
    return f"space.{names.get(problem.path, problem.path)}: {problem.message}"
