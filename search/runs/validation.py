"""Checks a whole configuration before any worker starts, and reports every problem at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import DataError, InputError, SettingsError, SpaceError
from foldtune.results.records.measured_file import ModelFigures
from foldtune.results.records.ranking import Goal
from foldtune.results.tables.formatting import counted
from foldtune.search.checks.grid import with_grid
from foldtune.search.checks.limits import is_limited, limit_space
from foldtune.search.checks.own_metrics import add_metrics, cost_note, find_goal, read_metric, try_metric
from foldtune.search.checks.positive import positive_notes
from foldtune.search.checks.pretrained import check_files
from foldtune.search.checks.sample import checked_sample, id_notes, submission_notes
from foldtune.search.checks.space_rules import (
    check_case_reduce,
    check_extra_weight,
    check_with_presets,
    with_short_warmup,
    without_labels,
)
from foldtune.search.checks.steps import Checks
from foldtune.search.checks.trainability import check_trainable
from foldtune.search.config.loading import FormError, check, read_raw
from foldtune.search.config.metric_file import metric_file
from foldtune.search.config.schema import RunConfig
from foldtune.search.data.columns import check_columns
from foldtune.search.data.dataset import read_labelled, read_unlabelled
from foldtune.search.data.given_splits import split_rows, with_given_number
from foldtune.search.voting.combiner import check_voting
from foldtune.spaces import Space
from foldtune.trainers.data.table import Table
from foldtune.trainers.loading.crops import check_crop
from foldtune.trainers.tasks import TASKS, Task, get_task
from foldtune.trainers.tasks.parsing import parse_settings
from foldtune.wording import unknown

MAX_EPOCHS = 10_000
"""Epochs of a trial where their number cannot be read: what depends on it is not checked."""
_LABELS = ("target", "target_map", "judge_map", "min_rows", "none_label", "on_missing", "uncertain")
_SPLITS = ("valid", "fold", "split", "case")
_FILES = ("train", "images", "root", "id", "encoding", "exclude", "extra")
ROWS = tuple(f"data.{key}" for key in (*_FILES, *_LABELS, *_SPLITS))
"""Keys that the labelled rows depend on."""
RANDOM_DRAWS = 64
"""Configurations that are drawn and judged beside the corner cases."""


@dataclass(frozen=True)
class Checked:
    """A configuration that holds, with what was read to find out.

    Attributes:
        notes: what was taken for granted or is doubtful, a line each, for the user.
        figures: size and speed of each model named, where they are limited; `space` has those within.
    """

    config: RunConfig
    space: Space
    goal: Goal
    task: Task
    table: Table
    folds: npt.NDArray[np.int64]
    test: Table | None
    notes: tuple[str, ...] = ()
    figures: tuple[ModelFigures, ...] = ()


def check_file(path: Path, overrides: Sequence[str] = (), values: Mapping[str, Any] | None = None) -> Checked:
    """Read a configuration file and check it as `check_raw` does. Takes what `load_config` takes."""
    return check_raw(read_raw(path, overrides, values), path.parent)


def check_raw(raw: Mapping[str, Any], folder: Path, target: str | None = None) -> Checked:
    """Check the plain values of a configuration: its form, its space, its data.

    Args:
        raw: values of a YAML file.
        folder: folder to which relative data paths refer.
        target: the one of several targets that it is of, whose submission is one; None for all there is.

    Raises:
        InputError: every problem found. What does not depend on a wrong key is checked to the end beside it.
    """
    try:
        config = check(raw, folder)
    except FormError as error:
        return check_run(error.config, error, target)
    return check_run(config, target=target)


def check_run(config: RunConfig, form: FormError | None = None, target: str | None = None) -> Checked:
    """Check the task, the metric, the space against the trainer, the tables and the folds.

    Images are checked for existence, not opened.

    Args:
        form: problems found before; what depends on a wrong key is not checked.
        target: as for `check_raw`.

    Raises:
        InputError: every problem found.
    """
    checks = Checks(form)
    shorter: tuple[str, ...] = ()
    written = getattr(config, "space", {})
    if checks.sound("search.max_epochs", "space"):
        config, shorter = with_short_warmup(config)
    task_class = checks.run(["task"], lambda: _task_class(config))
    space = checks.run(["space"], lambda: _space(config))
    own = checks.run(["search.metric"], lambda: read_metric(config.search))
    goal_keys = ["search.metric", "search.costs"]
    readable = own is not None or metric_file(config.search.metric if checks.sound("search") else None) is None
    goal = checks.run(goal_keys, lambda: find_goal(config.search, task_class, own)) if task_class and readable else None
    checks.run(["search.num_samples", "space"], lambda: _samples_something(config, space) if space else None)
    checks.run(["ensemble.min_votes", "ensemble.top"], lambda: _votes(config))
    votes = ["ensemble.voting", "ensemble.top"]
    checks.run(votes, lambda: _voting(config, task_class, goal) if task_class and goal else None)
    options = [f"data.{name}" for name in task_class.option_names] if task_class else []
    read = checks.run([*ROWS, *options], lambda: read_labelled(config.data, config.task)) if task_class else None
    if read is not None:
        joined = checks.run(goal_keys, partial(add_metrics, config.search, read[0], own))
        read = (joined or read[0], read[1])
    task = read[0] if read else checks.run([], lambda: without_labels(task_class)) if task_class else None
    if space is not None:
        checks.run(["space", "data"], lambda: check_case_reduce(space, config.data.case_column))
        checks.run(["space", "data"], lambda: check_extra_weight(space, config.data))
        checks.run(["space"], partial(check_files, space))
    if space is not None and task is not None:
        epochs = config.search.max_epochs if checks.sound("search.max_epochs") else MAX_EPOCHS
        size = config.data.size if checks.sound("data.image_size", "data") else None
        check = partial(check_space, space, task, epochs, size, labelled=read is not None)
        checks.run([], lambda: check_with_presets(written, config.task, check))
    folds = test = None
    notes = list(shorter)
    searched: Space | None = space
    figures: tuple[ModelFigures, ...] = ()
    if space is not None and task is not None and not checks.problems and is_limited(config.search):
        limited = checks.run([], partial(limit_space, space, task, config))
        searched, figures, lines = limited or (None, (), ())
        notes += lines
    if searched is not None and (gridded := checks.run(["search", "space"], partial(with_grid, config, searched))):
        config, lines = gridded
        notes += lines
    if read is not None:
        task, table = read
        notes += table.notes
        needs = ["search.metric", "space", "data.positive"]
        notes += checks.run(needs, lambda: positive_notes(config, task, table, goal, space)) or ()
        split_by = ["ensemble.folds", "data.group"]
        assigned = checks.run(split_by, lambda: _folds(config, task, table))
        if assigned is not None:
            config, folds, lines = assigned
            notes += lines
        checks.run(["data.columns", "data.test", *ROWS], lambda: check_columns(config.data, task))
        notes += checks.run(goal_keys, lambda: cost_note(config.search, task)) or ()
        if folds is not None and table.targets is not None and own is not None and goal is not None:
            checks.run(goal_keys, partial(try_metric, task, table.targets, folds, goal.metric))
        needs = ["data.test", "data.test_images", *ROWS]
        test = checks.run(needs, lambda: read_unlabelled(config.data, task) if config.data.test else None)
        if searched is not None and folds is not None and table.targets is not None:
            drawn = _draws(searched)
            trained = partial(check_trainable, searched, task, table.targets, folds, config.data.size, draws=drawn)
            notes += checks.run(["data.image_size"], trained) or ()
    needs = ["data.sample_submission", "data.test", "data.encoding"]
    sample = checks.run(needs, lambda: checked_sample(config.data, test))
    notes += id_notes(config.data, sample, test) if test is not None or sample is not None else ()
    if read is not None and goal is not None and config.data.test is not None:
        columns = partial(submission_notes, config.data, read[0], goal.metric, sample, target)
        notes += checks.run(["data.sample_submission", "data.target"], columns) or ()
    if checks.problems or searched is None or goal is None or folds is None or read is None:
        raise InputError(checks.problems)
    if test is not None:
        notes += [*test.notes, *_overlap_notes(read[1], test)]
    return Checked(config, searched, goal, *read, folds, test, tuple(dict.fromkeys(notes)), figures)


def _overlap_notes(table: Table, test: Table) -> tuple[str, ...]:
    """Return a line on the images to submit that are training rows, too."""
    shared = set(table.paths).intersection(test.paths)
    if not shared:
        return ()
    what = f"{counted(len(shared), 'image')} to submit also among the training rows (first: {min(shared).name})"
    return (f"{what}: models have seen the label, and a figure on these rows flatters",)


def check_space(
    space: Space, task: Task, epochs: int, image_size: tuple[int, int] | None = None, *, labelled: bool = True
) -> None:
    """Check that the trainer accepts every configuration that a space can propose.

    Each parameter is taken to its extremes and each choice to all its values, and the trainer's own parser
    checks the configuration. Incompatible pairs (such as mixup and a loss on hard labels) may not be among those, so
    random draws are checked too.

    Args:
        epochs: number of epochs of a trial.
        image_size: height and width of the prepared images, for what must fit into them.
        labelled: whether the task has its labels; post-processing, which names them, is not checked without.

    Raises:
        InputError: `space.key: reason` each, the key as the space writes it.
    """
    judge = partial(_refusals, space, task, epochs, image_size)
    problems = dict.fromkeys(problem for _, params in space.corner_cases() for problem in judge(params))
    named = {key for key, _ in problems}
    for key, message in (problem for params in _draws(space) for problem in judge(params)):
        if key not in named:  # once is enough of what a draw finds: its values are any
            named.add(key)
            problems[key, message] = None
    if not labelled:
        problems = {pair: None for pair in problems if pair[0].partition(".")[0] != "postprocess"}
    if problems:
        raise InputError([f"space.{key}: {message}" for key, message in problems])


def _refusals(
    space: Space, task: Task, epochs: int, image_size: tuple[int, int] | None, params: dict[str, Any]
) -> list[tuple[str, str]]:
    """Return the trainer's objections to a configuration: key of the space, and reason."""
    try:
        settings = parse_settings(space.build(params), task, epochs=epochs)
        found = check_crop(settings.crop, image_size) if image_size else []
    except SettingsError as error:
        found = list(error.problems)
    names = {".".join(e.location.keys): e.name for e in space.entries if e.location.active(params)} if found else {}
    return [(names.get(each.path, each.path), each.message) for each in found]


def _draws(space: Space) -> Iterator[dict[str, Any]]:
    """Random configurations, the same each time."""
    import optuna  # heavy, and predictions with an ensemble's folder must not need it

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return (space.suggest(study.ask()) for _ in range(RANDOM_DRAWS))


def _folds(config: RunConfig, task: Task, table: Table) -> tuple[RunConfig, npt.NDArray[np.int64], tuple[str, ...]]:
    """Return the configuration with the number of folds, the fold (N,) of each row, and notes on given ones."""
    config = with_given_number(config, table)
    return config, *split_rows(task, table, config)


def _task_class(config: RunConfig) -> type[Task]:
    if config.task not in TASKS:
        raise InputError(f"task: {unknown('task', config.task, TASKS)}")
    judge_map = config.data.judge_map if hasattr(config, "data") else None
    try:
        return get_task(config.task, judge_map)
    except DataError as error:
        raise InputError([f"data.judge_map: {text}" for text in error.problems]) from None


def _space(config: RunConfig) -> Space:
    try:
        return Space.parse(config.space)
    except SpaceError as error:
        problems = [f"{'.'.join(filter(None, ('space', p.path)))}: {p.message}" for p in error.problems]
        raise InputError(problems) from None


def _samples_something(config: RunConfig, space: Space) -> None:
    trials = config.search.num_samples
    if not space.parameters and trials > 1:
        raise InputError(
            f"space: nothing in it is sampled, so all {trials} trials would be the same; give a range such as "
            "lr: {loguniform: [1.0e-4, 1.0e-2]}, start from a preset, or set search.num_samples to 1"
        )


def _votes(config: RunConfig) -> None:
    ensemble = config.ensemble
    if ensemble.min_votes is not None and ensemble.min_votes > ensemble.top:
        raise InputError(
            f"ensemble.min_votes: each of {ensemble.top} configurations (ensemble.top) has one vote, so "
            f"{ensemble.min_votes} cannot come together; give 1 to {ensemble.top}"
        )


def _voting(config: RunConfig, task_class: type[Task], goal: Goal) -> None:
    ensemble = config.ensemble
    try:
        columns = bool(config.data.columns) if hasattr(config, "data") else False
        check_voting(task_class, goal.metric, ensemble.voting, ensemble.top, columns=columns)
    except InputError as error:
        raise InputError(f"ensemble.voting: {str(error).removeprefix('voting ')}") from None
