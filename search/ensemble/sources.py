"""The rows of the runs that vote together: what each run trains on and submits, and that they are the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.errors import InputError
from foldtune.results.storage.paths import StorePath, address
from foldtune.search.data.dataset import Labelled, Progress, read_unlabelled
from foldtune.search.data.pixel_notes import pixel_notes
from foldtune.search.runs.digests import check_test_rows
from foldtune.search.runs.run import Run, reopen_labelled
from foldtune.search.voting.evaluation import differing
from foldtune.search.workers.fold_job import FoldWork
from foldtune.search.workers.training import TrialWork
from foldtune.search.workers.unlabelled import Unlabelled
from foldtune.trainers.postprocess.case_scores import Cases


@dataclass(frozen=True, eq=False)
class Source:
    """A run whose trials vote, with its rows as it sees them.

    Attributes:
        labelled: its labelled rows in the stored folds.
        test: the rows to submit, None where the configuration names none.
        broken: what is wrong with images to submit that cannot be read.
        notes: what the user should read about the rows, one line each.
    """

    run: Run
    labelled: Labelled
    test: Unlabelled | None
    broken: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def work(self, home: StorePath, tta: str | None) -> FoldWork:
        """What the folds of its trials share, for an ensemble in the folder `home`."""
        trial = TrialWork.of(self.run.store.address, self.labelled, self.run.goal.metric, self.run.config)
        return FoldWork(trial, self.test, address(home), tta)


def open_source(run: Run, decoders: int, progress: Progress | None) -> Source:
    """Read a run's rows again, and decode what this machine does not hold yet.

    Raises:
        InputError: rows that are gone, tables or images that cannot be read.
    """
    labelled = reopen_labelled(run, decoders, progress)
    if run.config.data.test is None:
        return Source(run, labelled, None, notes=labelled.notes)
    table = read_unlabelled(run.config.data, run.task)
    prepared = labelled.images.open(table.paths, progress)
    broken = tuple(map(str, prepared.broken))
    readable = table.select(prepared.keep)
    # Without the unreadable ones they are a cache of their own, which workers find.
    cached = labelled.images.open(readable.paths, progress) if broken else prepared
    digest, of_before, changed = check_test_rows(run.store, readable, cached.folder, moved=run.moved)
    test = Unlabelled(readable, labelled.images, table.judged_ids, digest, of_before)
    shown = (f"to submit: {note}" for note in pixel_notes(prepared, run.config.data))
    return Source(run, labelled, test, broken, (*labelled.notes, *shown, *([changed] if changed else [])))


def check_sources(sources: Sequence[Source]) -> None:
    """Whether the runs have the same rows, labels and folds, and submit the same rows, in whatever order.

    Raises:
        InputError: for each other run the first thing in which it differs from the first run, and what to do.
    """
    first, *others = sources
    problems = [text for other in others if (text := _difference(first, other))]
    if problems:
        raise InputError(problems)


def _difference(first: Source, other: Source) -> str | None:
    name, against = other.run.store.name, first.run.store.name
    ours, theirs = first.labelled, other.labelled
    differs = f"run {name!r} differs from {against!r} in its"
    place = {row: index for index, row in enumerate(theirs.table.ids.tolist())}
    missing = [row for row in ours.table.ids.tolist() if row not in place]
    if missing or len(place) != len(ours.table.ids):
        known = set(ours.table.ids.tolist())
        example = missing[0] if missing else next(row for row in place if row not in known)
        return f"{differs} rows: {len(place)} against {len(known)}; only one of them has {example}"
    order = [place[row] for row in ours.table.ids.tolist()]
    assert ours.table.targets is not None
    assert theirs.table.targets is not None
    unlike = differing(ours.table.targets, theirs.table.targets[order])
    if unlike.any():
        return f"{differs} labels of {int(unlike.sum())} rows (first: {ours.table.ids[unlike.argmax()]})"
    moved = ours.folds != theirs.folds[order]
    if moved.any():
        search, ensemble = first.run.config.search, first.run.config.ensemble
        return (
            f"{differs} folds: {int(moved.sum())} of {len(order)} rows lie in another one; runs of the same rows share "
            f"folds where both are searched with search.seed: {search.seed} and ensemble.folds: {ensemble.folds}"
        )
    if first.test is None:
        return None
    if other.test is None:
        return f"{differs} rows to submit: it has none; name data.test in its configuration"
    if sorted(first.test.ids.tolist()) != sorted(other.test.ids.tolist()):
        return f"{differs} rows to submit: {len(other.test.ids)} others; name the same data.test in both"
    return None


@dataclass(frozen=True, eq=False)
class JudgedRows:
    """N rows or cases.

    Attributes:
        ids: (N,) ids of the rows, or names of the cases.
        folds: (N,) fold of each, from 0.
        targets: (N, ...).
        groups: (N,) groups that belong together; None without groups.
    """

    ids: npt.NDArray[np.str_]
    folds: npt.NDArray[np.int64]
    targets: npt.NDArray[Any]
    groups: npt.NDArray[np.str_] | None

    @classmethod
    def of(cls, labelled: Labelled, folds: int) -> JudgedRows:
        """Return those of the first so many folds; rows that only train belong to none."""
        table, of_rows = labelled.table, labelled.folds
        assert table.targets is not None
        rows = np.flatnonzero((of_rows >= 0) & (of_rows < folds))
        ids = table.ids[rows]
        if table.cases is not None:
            cases = Cases.of(table.cases[rows])
            ids, rows = cases.names, rows[cases.first]
        groups = None if table.groups is None else table.groups[rows]
        return cls(ids, of_rows[rows], table.targets[rows], groups)
