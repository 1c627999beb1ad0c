"""Starting a run on disk, and opening one again with the same rows in the same folds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.canonical import canonical_text
from foldtune.errors import DataError, InputError, RunCorrupt
from foldtune.paths import is_inside, leads_out
from foldtune.results.records.identity import RunIdentity, write_identity
from foldtune.results.records.measured_file import read_measured
from foldtune.results.records.ranking import Goal
from foldtune.results.runs.digests_file import write_digests
from foldtune.results.runs.names import possible_roots
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import names_in, read_json
from foldtune.results.storage.paths import StorePath, as_path
from foldtune.search.checks.limits import is_limited, within_limits
from foldtune.search.config.loading import check
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.sections.data_section import DATA_PATHS, DataConfig
from foldtune.search.data.dataset import Labelled, Progress, image_plan, read_labels
from foldtune.search.data.given_splits import drawn_again, split_rows
from foldtune.search.data.pixel_notes import pixel_notes
from foldtune.search.runs.digests import TEST, TRAIN, check_unchanged, digest_rows, summary
from foldtune.search.runs.stored_task import read_task, resolve_goal
from foldtune.search.runs.trusted_metrics import own_function, record_metric, with_trusted_metrics
from foldtune.search.runs.validation import Checked
from foldtune.spaces import Space, expand_presets
from foldtune.trainers.data.table import Table
from foldtune.trainers.tasks import Task
from foldtune.trainers.user_metrics.task import stored_costs
from foldtune.wording import shortened

PLACES = ("root", "cache", *DATA_PATHS)
"""Keys of `data` that are places of the data: digests of the data themselves are compared."""

GROUP_FILE = "group.json"
"""In a folder that stands for the runs of several targets."""


@dataclass(frozen=True)
class Run:
    """A stored run, opened again.

    Attributes:
        moved: whether its data are expected elsewhere than where the run was started.
    """

    store: RunStore
    config: RunConfig
    task: Task
    goal: Goal
    moved: bool = False

    @property
    def space(self) -> Space:
        """The run's search space, within its limits by what was measured at its start."""
        space, search = Space.parse(self.config.space), self.config.search
        measured = read_measured(self.store.root) if is_limited(search) else None
        return space if measured is None else within_limits(space, search, measured.figures)


def open_run(run: str, storage: StorePath | str, data: Path | None = None) -> Run:
    """Open a run by its name under `storage`, or by its path or URL.

    Args:
        data: where its `data.root` lies now, None where it did not move.

    Raises:
        RunNotFound: there is none; names the near ones.
        RunNewer: a later version wrote it.
        InputError: it is a group of runs, or its data do not lie under its `data.root`.
    """
    for root in possible_roots(run, storage):
        if (group := read_json(root / GROUP_FILE)) is not None:
            names = ", ".join(sorted(group.get("runs", {}).values()))
            raise InputError(f"{run!r} is a group of several targets: name one of its runs ({names})")
    store = RunStore.open(run, storage)
    # Stored paths are absolute.
    config = check(
        _with_defaults_of_before(store.read_config()), store.root if isinstance(store.root, Path) else Path()
    )
    task = with_trusted_metrics(read_task(store.read_task(), store.task_path), store)
    opened = Run(store, config, task, _stored_goal(store, task) or resolve_goal(task, config.search.metric))
    return opened if data is None else with_data(opened, data)


def with_data(run: Run, root: Path) -> Run:
    """Return a run whose data lie under another `data.root` now. Raises InputError where none of them lay under it."""
    try:
        data = run.config.data.moved(root)
    except ValueError as error:
        raise InputError(f"--data {root}: {error}") from None
    return replace(run, config=run.config.model_copy(update={"data": data}), moved=True)


def with_paths(run: Run, given: DataConfig) -> Run:
    """Return a run with the data paths of another configuration of it, which may lie elsewhere than at its start."""
    paths = {key: getattr(given, key) for key in (*PLACES, "columns", "extra")}
    data = run.config.data.model_copy(update=paths)
    moved = any(getattr(data, key) != getattr(run.config.data, key) for key in (*DATA_PATHS, "extra"))
    return replace(run, config=run.config.model_copy(update={"data": data}), moved=moved)


def _with_defaults_of_before(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a stored configuration with what its run did where it lacks a key that later versions store."""
    data = raw.get("data")
    if not isinstance(data, Mapping) or "pixel_range" in data:
        return raw
    return {**raw, "data": {**data, "pixel_range": "uint16"}}


def _stored_goal(store: RunStore, task: Task) -> Goal | None:
    """Return the stored metric and direction. Raises RunCorrupt where they are not the task's."""
    goal = store.read_goal()
    if goal is not None and task.metrics.get(goal.metric, goal.mode) != goal.mode:
        raise RunCorrupt(
            f"{store.goal_path}: mode: {goal.metric} of task {task.name} is better at its {task.metrics[goal.metric]}, "
            f"not at its {goal.mode}"
        )
    return goal


@contextmanager
def new_store(config: RunConfig) -> Iterator[RunStore]:
    """The folder of a new run, locked before anything is decoded or written; a start that is refused leaves none.

    Raises:
        RunExists: the name is taken.
        RunBusy: another process is starting a run of that name.
    """
    storage = as_path(config.storage)
    absent = [folder for folder in (storage / config.name, storage) if names_in(folder) is None]
    with RunStore.create(config.storage, config.name).lock():
        # Again, since whoever held the lock until now may have made a run of it.
        store = RunStore.create(config.storage, config.name)
        try:
            yield store
        except BaseException:
            store.discard_start(absent)
            raise


def start_run(
    checked: Checked,
    store: RunStore,
    decoders: int,
    progress: Progress | None,
    write_more: Callable[[Run, Labelled], object] = lambda run, labelled: None,
) -> tuple[Run, Labelled]:
    """Decode the images, freeze the folds and write the run's folder.

    Args:
        store: store of the new run, from `new_store`.
        write_more: writes what else belongs to the run, before config.yaml makes it one.

    Raises:
        InputError: unreadable images, or a class too small for the folds once they are left out.
    """
    config, task, table, folds = checked.config, checked.task, checked.table, checked.folds
    # As the task has them: a file may be another one by the time that the run is opened again.
    search = config.search.model_copy(update={"metric": checked.goal.metric, "costs": stored_costs(task)})
    # Defaults and presets are stored with the run: those of a later version may differ.
    config = config.model_copy(update={"search": search, "space": expand_presets(config.space)})
    plan = image_plan(config.data, decoders)
    prepared = plan.open(table.paths, progress)
    if prepared.broken:
        table = drawn_again(table.select(prepared.keep))
        folds = split_rows(task, table, config)[0]
        # The rows that stay are a cache of their own, which workers find.
        prepared = plan.open(table.paths, progress)
    notes = pixel_notes(prepared, config.data)
    digests = digest_rows(TRAIN, table, folds=folds, memo=prepared.folder)
    stored = [digests]
    if checked.test is not None:
        to_submit = plan.open(checked.test.paths, progress)
        notes = (*notes, *(f"to submit: {note}" for note in pixel_notes(to_submit, config.data)))
        stored.append(digest_rows(TEST, checked.test, memo=to_submit.folder))
    assert table.targets is not None
    task = task.for_training(table.targets[folds != 0])  # fold 0 judges the search's models
    write_identity(store.root, RunIdentity.new())
    write_digests(store, pd.concat(stored))
    store.write_task(task.to_dict())
    store.write_goal(checked.goal)
    if (function := own_function(task)) is not None and function.source is not None:
        store.write_metric(function.source)
        record_metric(function.source)
    store.write_folds(table.ids, folds)
    labelled = Labelled(task, table, folds, plan, summary(digests), notes)
    run = Run(store, config, task, checked.goal)
    write_more(run, labelled)
    store.write_config(config.model_dump(mode="json"))
    return run, labelled


def reopen_labelled(run: Run, decoders: int, progress: Progress | None) -> Labelled:
    """The labelled rows of a stored run, in its stored folds; decodes what this machine does not hold yet.

    Raises:
        InputError: the table no longer holds every row that the run was started with, or other labels or images.
    """
    data = run.config.data
    try:
        table = read_labels(data, run.task, merge=False)
    except DataError as error:
        hint = "" if data.train.exists() and data.images.is_dir() else "; if the data moved, give --data ROOT"
        raise InputError([*error.problems[:-1], f"{error.problems[-1]}{hint}"]) from None
    table, folds_of_rows = rows_of_run(run, table)
    plan = image_plan(data, decoders)
    prepared = plan.open(table.paths, progress)
    notes = (*pixel_notes(prepared, data), *_outside_notes(table, data))
    labelled = Labelled(run.task, table, folds_of_rows, plan, notes=notes)
    return check_unchanged(run.store, labelled, prepared.folder, moved=run.moved)


def rows_of_run(run: Run, table: Table) -> tuple[Table, npt.NDArray[np.int64]]:
    """Return the rows of a table that a run was started with, in its order, and the fold (N,) of each.

    Raises:
        InputError: the table lacks some of them.
    """
    folds = run.store.read_folds()
    kept = _rows(table, folds["id"].to_numpy(dtype=np.str_), run.config.data.train)
    return kept, folds["fold"].to_numpy(dtype=np.int64)


def _outside_notes(table: Table, data: DataConfig) -> tuple[str, ...]:
    """The line on images by which the table that a stored run names leads out of its folder of images."""
    leading = ((name, path) for name, path in zip(table.ids.tolist(), table.paths, strict=True) if leads_out(name))
    some = islice(leading, 1000)  # each is followed on the disk
    outside = [name for name, path in some if not is_inside(path, data.images)]
    if not outside:
        return ()
    first = shortened(str(data.images / outside[0]), 200)
    return (f"images of {data.train}, which the run names, lie outside of {data.images} (first: {first})",)


def _rows(table: Table, ids: Any, source: Path) -> Table:
    place = {name: row for row, name in enumerate(table.ids.tolist())}
    rows = [place.get(name, place.get(canonical_text(name))) for name in ids.tolist()]
    missing = [name for name, row in zip(ids.tolist(), rows, strict=True) if row is None]
    if missing:
        raise InputError(
            f"{source}: {len(missing)} rows that this run was started with are gone (first: {missing[0]}); "
            "bring them back, or start another run with --name"
        )
    return replace(table.select([row for row in rows if row is not None]), ids=ids)
