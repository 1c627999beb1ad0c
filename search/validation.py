"""Checks a whole configuration before any worker starts, and reports every problem at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from results.errors import SubmissionError
from results.submission import read_sample
from search.config import RunConfig
from search.dataset import read_labelled, read_unlabelled, split
from search.errors import InputError, unknown
from search.recorder import Goal
from spaces import Space, SpaceError
from trainers.data.table import Table
from trainers.errors import SettingsError
from trainers.settings import parse_settings
from trainers.tasks import TASKS, Task

T = TypeVar("T")


@dataclass(frozen=True)
class Checked:
    """A configuration that holds, with what was read to find out."""

    config: RunConfig
    space: Space
    goal: Goal
    task: Task
    table: Table
    folds: npt.NDArray[np.int64]
    test: Table | None


def check_run(config: RunConfig) -> Checked:
    """Check the task, the metric, the space against the trainer, the tables and the folds.

    Images are looked for, not opened: that is the preparation's work.

    Raises:
        InputError: every problem found.
    """
    problems: list[str] = []
    if config.task not in TASKS:
        problems.append(f"task: {unknown('task', config.task, TASKS)}")
    space = _attempt(problems, lambda: _space(config))
    problems += _limits(config)
    if config.task not in TASKS:
        raise InputError(problems)
    goal = _attempt(problems, lambda: _goal(config))
    read = _attempt(problems, lambda: read_labelled(config.data, config.task))
    if read is None:
        raise InputError(problems)
    task, table = read
    if space is not None:
        problems += check_space(space, task)
    folds = _attempt(problems, lambda: split(task, table, config.ensemble.folds, config.search.seed))
    test = _attempt(problems, lambda: read_unlabelled(config.data, task)) if config.data.test else None
    problems += _sample(config)
    if problems or space is None or goal is None or folds is None:
        raise InputError(problems)
    return Checked(config, space, goal, task, table, folds, test)


def check_space(space: Space, task: Task) -> list[str]:
    """Everything that a space can propose and the trainer would refuse, as `space.key: reason`.

    Each parameter is taken to its extremes and each choice to all its values, and the trainer's own parser
    judges the configuration, so what passes here cannot fail in a worker.
    """
    problems: dict[str, None] = {}
    for _, params in space.corner_cases():
        try:
            parse_settings(space.build(params), task)
        except SettingsError as error:
            problems |= dict.fromkeys(
                f"space.{problem.path}: {problem.message}" for problem in error.problems
            )
    return list(problems)


def _attempt(problems: list[str], step: Callable[[], T]) -> T | None:
    """Run a check; what is wrong joins the list, and the next check still runs."""
    try:
        return step()
    except InputError as error:
        problems += error.problems
        return None


def _space(config: RunConfig) -> Space:
    try:
        return Space.parse(config.space)
    except SpaceError as error:
        raise InputError(
            [f"{'.'.join(filter(None, ('space', p.path)))}: {p.message}" for p in error.problems]
        ) from None


def _goal(config: RunConfig) -> Goal:
    task_class = TASKS[config.task]
    metric = config.search.metric or task_class.default_metric
    if metric not in task_class.metrics:
        hint = unknown("metric", metric, task_class.metrics)
        raise InputError(f"search.metric: {hint} for the task {config.task}")
    return Goal(metric, task_class.metrics[metric])


def _limits(config: RunConfig) -> list[str]:
    ensemble = config.ensemble
    if ensemble.min_votes is not None and ensemble.min_votes > ensemble.top:
        return [
            f"ensemble.min_votes: {ensemble.min_votes} votes cannot come from {ensemble.top} configurations"
        ]
    return []


def _sample(config: RunConfig) -> list[str]:
    path = config.data.sample_submission
    if path is None:
        return []
    if config.data.test is None:
        return ["data.test: missing; data.sample_submission needs the rows to submit"]
    try:
        read_sample(path)
    except SubmissionError as error:
        return [f"data.sample_submission: {error}"]
    return []
