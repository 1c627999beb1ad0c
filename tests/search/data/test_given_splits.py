"""Splits that the data bring along, through `foldtune validate` and below it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldtune.search.runs.resuming import check_same
from foldtune.search.runs.validation import Checked, check_file

Command = Callable[..., tuple[int, str, str]]


def checked(project: Any, changes: dict[str, Any]) -> Checked:
    return check_file(Path(project.config(changes)))


def frame(project: Any, **columns: Any) -> pd.DataFrame:
    return pd.DataFrame(project.rows, columns=["image", "label"]).assign(**columns)


def test_a_validation_table_is_fold_0_and_the_others_are_of_the_training_rows(project: Any, foldtune: Command) -> None:
    valid = [row for place, row in enumerate(project.rows) if place % 4 == 0]
    train = [row for row in project.rows if row not in valid]
    project.table(train, "t.csv"), project.table(valid, "v.csv")
    changes = {"data.train": "t.csv", "data.valid": "v.csv", "ensemble.folds": 3}
    found = checked(project, changes)
    assert found.table.ids.tolist() == [name for name, _ in [*train, *valid]], "as pandas would stack them"
    assert found.table.ids[found.folds == 0].tolist() == [name for name, _ in valid]
    assert set(found.folds.tolist()) == {0, 1, 2}
    note = "data.valid: the 6 rows of v.csv are fold 0; folds 1 to 2 are made of the training part"
    assert note in found.notes
    code, out, _ = foldtune("validate", project.config(changes))
    assert code == 0
    assert "24 rows" in out


def test_one_fold_is_the_given_split_alone(project: Any) -> None:
    project.table(project.rows[::2], "t.csv"), project.table(project.rows[1::2], "v.csv")
    found = checked(project, {"data.train": "t.csv", "data.valid": "v.csv", "ensemble.folds": 1})
    assert found.folds.tolist() == [-1] * 12 + [0] * 12


def test_a_column_of_folds_is_taken_as_it_is(project: Any) -> None:
    given = np.arange(24) % 3 + 1
    frame(project, kfold=given).to_csv(project.folder / "f.csv", index=False)
    from_column = {"data.train": "f.csv", "data.fold": "kfold", "ensemble": {"top": 1}}
    found = checked(project, from_column)
    assert found.folds.tolist() == (given - 1).tolist()
    assert found.config.ensemble.folds == 3
    stored = found.config
    check_same(check_file(Path(project.config(from_column))).config, stored)


def test_a_column_of_splits_leaves_test_rows_out_and_submits_them(project: Any) -> None:
    splits = np.array(["train", "train", "Val", "test"])[np.arange(24) % 4]
    frame(project, split=splits, label=np.where(splits == "test", "secret", frame(project).label)).to_csv(
        project.folder / "s.csv", index=False
    )
    found = checked(project, {"data.train": "s.csv", "data.test": "s.csv", "data.split": "split", "ensemble.folds": 3})
    names = frame(project).image.to_numpy()
    assert found.task.label_names == ("c0", "c1", "c2"), "labels of test rows are never read"
    assert found.table.ids[found.folds == 0].tolist() == names[splits == "Val"].tolist()
    assert found.table.left_out == {"split 'test'": 6}
    assert found.test is not None
    assert found.test.ids.tolist() == names[splits == "test"].tolist()


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "two": ({"data.valid": "v.csv", "data.fold": "fold"}, ["data.fold: leave it out beside data.valid"]),
    "column": ({"data.fold": "flod"}, ["data.fold: unknown column", "'flod'; did you mean 'fold'?"]),
    "number": (
        {"data.fold": "fold", "ensemble.folds": 4},
        ["ensemble.folds: 4, and column 'fold' (data.fold) has 3 folds"],
    ),
    "shared": ({"data.valid": "train.csv"}, ["data.valid: ", "24 images are training rows, too (d0000.png"]),
    "unknown label": ({"data.valid": "v.csv"}, ["data.valid: ", "v.csv: column 'label'", "'c9'"]),
    "no file": ({"data.valid": "w.csv"}, ["data.valid: ", "w.csv: no such file"]),
    "split": ({"data.split": "fold"}, ["data.train: ", "column 'fold': unknown split '0'"]),
    "torn": ({"data.fold": "fold", "data.group": "pair", "ensemble": {}}, ["data.fold: ", "groups have rows on both"]),
    "one": ({"ensemble.folds": 1}, ["ensemble.folds: must be an integer >= 2 and <= 50, not 1, where data.valid"]),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_split_is_named(project: Any, foldtune: Command, case: str) -> None:
    rows = frame(project, fold=np.arange(24) % 3, pair=np.arange(24) // 2)
    rows.to_csv(project.folder / "train.csv", index=False)
    rows.iloc[:4].assign(label="c9", image="new.png").to_csv(project.folder / "v.csv", index=False)
    changes, parts = BAD[case]
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert [part for part in parts if part not in err] == [], err
