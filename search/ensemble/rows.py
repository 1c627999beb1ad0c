"""The rows by which an ensemble is judged: labelled rows of its folds, or their cases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.search.runs.dataset import Labelled
from foldtune.trainers.postprocess.case_scores import Cases


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
