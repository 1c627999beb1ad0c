"""What every training of a run sees: the task, the checked rows, the frozen folds and the decoded images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt

from foldtune.canonical import canonical_text
from foldtune.csv_files import REPEATED
from foldtune.errors import DataError, InputError
from foldtune.search.config.sections.data_section import TASK_OPTIONS, DataConfig
from foldtune.search.data.extra import extra_notes, with_extra
from foldtune.search.data.given_splits import given_by, named_by_key
from foldtune.search.data.label_forms import label_reading, named_by_target, target_form
from foldtune.search.data.marks import check_marked, marks_notes
from foldtune.search.data.rows import layout_of, read_rows
from foldtune.trainers.data.joined import with_validation
from foldtune.trainers.data.readers import Source
from foldtune.trainers.data.table import Table, read_table, rows_of_split
from foldtune.trainers.data.target_forms.label_text import LabelText
from foldtune.trainers.detection.pages import check_pages
from foldtune.trainers.fitting.fit_types import FoldData
from foldtune.trainers.images.cache import ImageSource, Prepared, prepare_images
from foldtune.trainers.images.image_files import IMAGE_SUFFIXES
from foldtune.trainers.images.preprocess import ImagePreprocessing
from foldtune.trainers.images.sources import WAITS_S
from foldtune.trainers.tasks import Task, get_task
from foldtune.trainers.tasks.registry import task_for
from foldtune.wording import shortened, unknown

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class ImagePlan:
    """How images become arrays on a node. Opening it again on the same node decodes nothing."""

    preprocessing: ImagePreprocessing
    cache_dir: Path | None
    workers: int
    on_broken: str

    def open(self, paths: Sequence[Path], progress: Progress | None = None) -> Prepared:
        """Decode what is not in this node's cache yet; without a cache, everything once.

        Raises:
            InputError: images that cannot be read (where `on_broken` is `error`), or no room for the cache.
        """
        try:
            return self._prepared(paths, progress=progress)
        except DataError as error:
            raise InputError(str(error)) from None

    def open_again(self, paths: Sequence[Path]) -> ImageSource:
        """Return images that were opened before, on this node or another; those that are away are waited for.

        Raises `SurroundingsFailed` where they stay away.
        """
        return self._prepared(paths, verify=False, waits_s=WAITS_S).source

    def _prepared(self, paths: Sequence[Path], **more: Any) -> Prepared:
        where: dict[str, Any] = {"cache_dir": self.cache_dir, "workers": self.workers, "on_broken": self.on_broken}
        return prepare_images(paths, self.preprocessing, **where, **more)


def image_plan(data: DataConfig, workers: int) -> ImagePlan:
    """Return the image plan of a configuration; `workers`: number of decoding processes."""
    preprocessing = ImagePreprocessing(data.size, data.resize, data.steps, data.limits)
    return ImagePlan(preprocessing, data.cache_dir, workers, data.on_broken)


@dataclass(frozen=True)
class Labelled:
    """The labelled rows of a run; small enough to send to every worker, since images are only named.

    Attributes:
        task: with its classes.
        table: rows in the order of the CSV, broken images left out.
        folds: (N,) fold of each row, -1 for one that is in every training part.
        images: how to open the images.
        digest: digest of ids, targets, groups, folds and images' contents; "" where it is not known.
        notes: what the user should read about the rows, one line each.
    """

    task: Task
    table: Table
    folds: npt.NDArray[np.int64]
    images: ImagePlan
    digest: str = ""
    notes: tuple[str, ...] = ()

    def fold(self, fold: int, source: ImageSource) -> FoldData:
        """Training and validation rows of one fold; those of fold 0, seen too, where a number below -1 trains all."""
        rows = np.arange(len(self.table))
        if self.table.targets is None:
            raise ValueError("a labelled table has targets")
        return FoldData(
            images=source,
            targets=self.table.targets,
            ids=self.table.ids,
            train_rows=rows[self.folds != fold],
            valid_rows=rows[self.folds == (fold if fold >= 0 else 0)],
            groups=self.table.groups,
            digest=self.digest,
            cases=self.table.cases,
            extra_weights=self.table.extra_weights,
        )


@lru_cache(maxsize=4)
def open_once(paths: tuple[Path, ...], plan: ImagePlan, digest: str = "") -> ImageSource:
    """The decoded images of some rows, opened once a process: all trainings in it read the same mapping.

    Under another `digest` of the rows they are opened again: the files may hold other images by now.
    """
    return plan.open_again(paths)


def read_labelled(data: DataConfig, task_name: str) -> tuple[Task, Table]:
    """Read and check the labelled rows.

    Raises:
        InputError: every problem of the table.
    """
    task_class = get_task(task_name, data.judge_map)
    check_marked(data)
    source: Source | None = None
    given_by(data)
    try:
        source = read_rows(data, task_class, data.train)
        frame = source.frame
        problems = _column_problems(data, task_class, frame.columns) + _repeated_problems(data, frame)
        if problems:
            raise InputError(problems + _problems_beside_labels(data, task_class, source, frame.columns))
        trained, _ = rows_of_split(frame, data.split)
        reading = label_reading(data, task_class)
        text = reading.text(reading.unmarked(trained, data.train)[0], data.train)
        rules = reading.rules(text.separator)
        rules.check_names(text.frame, data.train)
        kept, _ = rules.apply(text.frame, data.train)
        task_class = task_for(task_class, kept, data.target_name)
        options = _task_options(data, task_class, text)
        try:
            task = task_class.from_frame(kept, data.target_name, **options)
        except DataError as error:  # too few labels may be those that were left out
            raise DataError([*error.problems, *rules.rare_notes(text.frame, data.train)]) from None
        if task.has_spatial_targets and data.case_column is not None:
            raise InputError(f"data.{'id' if data.case is None else 'case'}: {task.name} judges images, not cases")
        table = read_labels(data, task, source)
        labels = (*text.notes, *rules.notes(text.frame, data.train), *table.notes, *task.label_notes(kept))
        notes = (*source.notes, *labels, *extra_notes(data, task, table), *_page_notes(data, task, kept, table))
        lines = [named_by_target(data, line) for line in notes]
        table = replace(table, notes=(*lines, *marks_notes(data, task, trained)))
    except DataError as error:
        # What else is wrong with the table is worth knowing too.
        problems = [named_by_key(data, named_by_target(data, text)) for text in error.problems]
        others = [] if source is None else _problems_beside_labels(data, task_class, source)
        raise InputError(list(dict.fromkeys([*others, *problems]))) from None
    return task, table


def read_labels(data: DataConfig, task: Task, source: Source | None = None, *, merge: bool = True) -> Table:
    """The labelled rows as a task that is known already encodes them; raises DataError. `merge` is of `read_table`.

    `source`: the rows of `data.train`, if they have been read before.
    """
    source = source or read_rows(data, task, data.train)
    labels = label_reading(data, task)
    split = source.split_column if data.fold is None and data.split is None else data.split
    layout = replace(layout_of(data, source, data.group), fold_column=data.fold, split_column=split)
    table = read_table(data.train, layout, task, labels=labels, frame=source.frame, merge=merge)
    if data.valid is not None:
        if source.split_column is not None:
            raise DataError([f"{data.valid}: leave it out; {data.train} has validation rows of its own"])
        own = read_rows(data, task, data.valid, "valid")
        of_valid = layout_of(data, own, data.group)
        valid = read_table(data.valid, of_valid, task, labels=labels, frame=own.frame, merge=merge)
        table = with_validation(table, valid, data.valid)
    return with_extra(data, task, table, merge=merge)


def _page_notes(data: DataConfig, task: Task, frame: pd.DataFrame, table: Table) -> tuple[str, ...]:
    """Lines on pages whose stated sides are not their picture's, of a task with boxes; raises DataError."""
    if not task.has_spatial_targets:
        return ()
    sides = zip(frame["height"], frame["width"], strict=True)
    stated = dict(zip(map(canonical_text, frame[data.image_column].astype(str)), sides, strict=True))
    rows = [row for row, name in enumerate(table.ids.tolist()) if name in stated]  # a validation table has its own
    names = [str(table.ids[row]) for row in rows]
    return check_pages(names, tuple(table.paths[row] for row in rows), [stated[name] for name in names])


def _task_options(data: DataConfig, task_class: type[Task], text: LabelText) -> dict[str, object]:
    """Return the options of this kind of task; raises InputError for options of other kinds."""
    given = {name: getattr(data, name) for name in TASK_OPTIONS}
    strange = [
        f"data.{name}: the task {task_class.name} has no such option; leave it out"
        for name, value in given.items()
        if name not in task_class.option_names and value != type(data).model_fields[name].default
    ]
    if data.none_label is not None and task_class.augment is not Task.augment:
        strange.append(f"data.none_label: the task {task_class.name} has no labels; leave it out")
    if strange:
        raise InputError(strange)
    options = {name: getattr(data, name) for name in task_class.option_names}
    if "label_separator" in options:
        options["label_separator"] = text.separator
    return options if text.list_form is None else {**options, "list_form": text.list_form}


def _columns(data: DataConfig) -> dict[str, str | None]:
    target = data.target_name if data.target_columns is None else None
    named = {key: getattr(data, key) for key in ("group", "case", "fold", "split")}
    return {"id": data.image_column, "target": target, **named}


def _column_problems(data: DataConfig, task_class: type[Task], columns: Iterable[str]) -> list[str]:
    names = list(map(str, columns))
    wanted = _columns(data)
    if data.image_column not in names and (
        rows := [name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
    ):
        named = f"{shortened(repr(rows[0]))} is in the place of a column's name"
        return [f"data.train: {data.train}: has no header: {named}; its first line must name the columns"]
    return [
        f"data.{key}: {unknown(f'column of {data.train}:', name, names)}"
        for key, name in wanted.items()
        if name is not None and name not in names
    ] + [f"data.target: {data.train}: {text}" for text in target_form(data, task_class).missing(names)]


def _repeated_problems(data: DataConfig, frame: pd.DataFrame) -> list[str]:
    return [
        f"data.train: {data.train}: column {name!r} (data.{key}) is there more than once; keep one"
        for key, name in [*_columns(data).items(), *(("target", each) for each in data.listed_columns)]
        if name in frame.attrs.get(REPEATED, ())
    ]


def _problems_beside_labels(
    data: DataConfig, task_class: type[Task], source: Source, columns: Collection[str] | None = None
) -> list[str]:
    if columns is not None and data.image_column not in columns:
        return []
    group = data.group if columns is None or data.group in columns else None
    try:
        # Unlabelled, a table needs only the task's way to read it, which its class has.
        reader = cast("Task", task_class)
        layout = replace(layout_of(data, source, group), case_column=None)
        read_table(data.train, layout, reader, labelled=False, frame=source.frame)
    except DataError as error:
        return [f"data.train: {text}" for text in error.problems]
    return []


def read_unlabelled(data: DataConfig, task: Task) -> Table:
    """Read and check the rows to submit.

    Raises:
        InputError: every problem of the table, or no `data.test`.
    """
    if data.test is None:
        raise InputError("data.test: missing; name the CSV of the rows to submit")
    try:
        source = read_rows(data, task, data.test, "test")
        layout = replace(layout_of(data, source, images=data.test_images), split_column=data.split)
        table = read_table(data.test, layout, task, labelled=False, frame=source.frame)
        return replace(table, notes=(*source.notes, *table.notes))
    except DataError as error:
        raise InputError([f"data.test: {text}" for text in error.problems]) from None
