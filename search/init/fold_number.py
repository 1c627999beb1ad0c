"""The number of folds that the classes allow, and the classes that are too rare for two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from foldtune.errors import InputError
from foldtune.search.config.loading import check
from foldtune.search.config.targets import split_targets
from foldtune.search.data.dataset import read_labelled
from foldtune.search.init.findings import Finding, raw_of
from foldtune.trainers.data.folds import units_of_classes
from foldtune.trainers.data.given_folds import TO_ASSIGN
from foldtune.trainers.data.labels import OTHERS
from foldtune.trainers.data.table import Table
from foldtune.trainers.tasks import Task
from foldtune.wording import first_few, shortened

MAX_FOLDS = 5


@dataclass(frozen=True)
class _Support:
    """What the folds of one task are made of.

    Attributes:
        units: class → number of its groups, or rows, that can lie in different folds.
        rows: class → number of its rows, as `data.min_rows` counts them.
        given: folds that the data give.
        what: name of the units.
    """

    units: Mapping[str, int]
    rows: Mapping[str, int]
    given: int
    what: str

    @property
    def rare(self) -> list[str]:
        """Classes that no two folds can share."""
        return [name for name, number in self.units.items() if name in self.rows and 0 < number < 2]

    @property
    def fewest(self) -> int:
        """Units of the rarest class."""
        return min((number for number in self.units.values() if number), default=MAX_FOLDS)

    @property
    def folds(self) -> int:
        """Folds that every class can be part of."""
        return self.given + max(2, min(MAX_FOLDS - self.given, self.fewest))


def fold_findings(findings: Sequence[Finding], folder: Path) -> list[Finding]:
    """Return `ensemble.folds`, and what leaves classes of a single row or group out of the tasks that have such.

    That is `data.min_rows`, or `data.target_map` where a number of rows would leave out more. The folds are those of
    the rarest class, five at most; none are named where a column gives them all. What cannot be read is left to the
    check of the whole.

    Args:
        folder: folder of the YAML, to which its paths are relative.
    """
    found: list[Finding] = []
    folds, why = MAX_FOLDS, "models of each configuration that votes"
    try:
        file = split_targets(raw_of(findings), folder)
        raws = {"": file.raw} if file.targets is None else file.targets.raws
        for target, raw in raws.items():
            support, lines = _fitting(raw, folder)
            prefix = f"targets.{target}." if target else ""
            found += [Finding(f"{prefix}data.{key}", value, line) for key, value, line in lines]
            if support is None:
                return found
            if support.folds < folds:
                folds, why = support.folds, f"the rarest class has {support.fewest} {support.what}"
    except InputError:
        return [Finding("ensemble.folds", MAX_FOLDS, why)]
    return [*found, Finding("ensemble.folds", folds, why)]


def _fitting(raw: Mapping[str, Any], folder: Path) -> tuple[_Support | None, list[tuple[str, Any, str]]]:
    """Return what folds are made of once the rarest classes are left out, None where all folds are given.

    Beside it the key of `data` that leaves them out, its value and the reason; none where all classes stay.
    """
    option, left_out, rows = dict[str, Any](), dict[str, int](), dict[str, int]()
    while True:
        config = check({**raw, "data": {**raw["data"], **option}}, folder)
        task, table = read_labelled(config.data, config.task)
        what = "groups" if config.data.group else "rows" if config.data.case_column is None else "cases"
        support = _support(task, table, what)
        if support is None or not support.rare or ("target_map" in option and left_out.keys() >= set(support.rare)):
            break
        left_out |= {name: support.units[name] for name in support.rare}
        rows = {**support.rows, **rows}
        needed = 1 + max(option.get("min_rows", 0), *(rows[name] for name in left_out))
        alone = all(number >= needed for name, number in rows.items() if name not in left_out)
        option = {"min_rows": needed} if alone else {"target_map": {**dict.fromkeys(left_out), OTHERS: OTHERS}}
    shown = first_few([f"{shortened(name)} ({number})" for name, number in left_out.items()])
    reason = f"classes that two folds cannot share, by their {what}: {shown}; "
    reason += "labels of fewer rows are left out" if "min_rows" in option else "they alone are left out"
    return support, [(key, value, reason) for key, value in option.items()]


def _support(task: Task, table: Table, what: str) -> _Support | None:
    assert table.targets is not None
    rest = np.ones(len(table), dtype=np.bool_) if table.parts is None else table.parts == TO_ASSIGN
    if not rest.any():
        return None
    own = table.select(rest)
    assert own.targets is not None
    units = units_of_classes(task.strata(own.targets), own.groups, label_names=task.trained_names)
    if task.has_spatial_targets:
        return _Support(units, {}, 0, what)
    targets, names = table.targets, task.trained_names
    counts = (targets != 0).sum(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=len(names))
    return _Support(units, dict(zip(names, counts.tolist(), strict=True)), int(not rest.all()), what)
