"""The digest of a run's rows: whatever a training depends on is in it, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foldtune.search.runs.digests import TRAIN, digest_rows, summary
from foldtune.trainers.data.table import Table


@pytest.fixture
def table(tmp_path: Path) -> Table:
    names = ["a.png", "b.png", "c.png"]
    for name in names:
        (tmp_path / name).write_text(f"pixels of {name}")
    paths = tuple(tmp_path / name for name in names)
    return Table(np.array(names), paths, np.array([0, 1, 1]), np.array(["p", "p", "q"]))


@pytest.mark.parametrize("column", ["id", "fold", "target", "group", "content"])
def test_each_part_of_a_row_changes_the_digest(table: Table, column: str) -> None:
    frame = digest_rows(TRAIN, table, folds=np.array([0, 0, 1]))
    changed = frame.copy()
    changed.loc[1, column] = "other"
    assert summary(frame) != summary(changed)


def test_sizes_and_times_do_not_change_it_and_an_image_that_is_gone_leaves_none(table: Table) -> None:
    frame = digest_rows(TRAIN, table, folds=np.array([0, 0, 1]))
    assert summary(frame.assign(size="0", time_ns="0")) == summary(frame) != ""
    table.paths[2].unlink()
    assert summary(digest_rows(TRAIN, table, folds=np.array([0, 0, 1]))) == ""
