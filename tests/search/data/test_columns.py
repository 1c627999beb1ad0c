"""`data.columns`: read by the rows' ids, in every table; what is wrong is a line of the command."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldtune.errors import InputError
from foldtune.search.data.columns import labelled_columns
from foldtune.search.predict.case_columns import CaseColumns
from foldtune.search.predict.new_images import NewImages, find_images, with_columns
from foldtune.search.runs.validation import check_file
from tests.search.conftest import Project

Command = Callable[..., tuple[int, str, str]]
KINDS = {"age": "number", "sex": "category"}


@pytest.fixture
def table(project: Project) -> pd.DataFrame:
    """train.csv with an age, of which every third is missing, and a sex in blanks."""
    frame = pd.DataFrame(project.rows, columns=["image", "label"])
    frame["age"] = [str(row) if row % 3 else "" for row in range(len(frame))]
    frame["sex"] = [" f", "m ", ""] * (len(frame) // 3)
    frame.to_csv(project.folder / "train.csv", index=False)
    return frame


def test_columns_come_by_id_and_may_be_missing(project: Project, table: pd.DataFrame) -> None:
    checked = check_file(Path(project.config({"data.columns": KINDS})))
    ids = checked.table.ids[::-1].tolist()
    found = labelled_columns(checked.config.data, checked.task, [*ids, "no such row"])
    assert found is not None
    by_hand = pd.to_numeric(table["age"]).to_numpy()[::-1]
    np.testing.assert_array_equal(found.values["age"], [*by_hand, np.nan])
    assert found.values["sex"].tolist() == [*table["sex"].str.strip()[::-1], ""]
    assert labelled_columns(check_file(Path(project.config())).config.data, checked.task, ids) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data.columns": {"agee": "number"}}, "data.columns: unknown column of"),
        ({"data.columns": {"agee": "number"}}, "did you mean 'age'"),
        ({"data.columns": {"sex": "number"}}, "data.columns.sex: 16 cells of"),
        ({"data.columns": {"sex": "numbers"}}, "must map columns to number or category"),
        ({"data.columns": {"image": "category"}}, "column 'image' holds the images' names (data.id); leave it out"),
        ({"data.columns": {"label": "category"}}, "column 'label' holds labels (data.target), which rows to submit"),
        ({"data.columns": {"label": "category"}, "data.case": "label"}, "holds the cases' names (data.case)"),
        ({"data.columns": ["sex"]}, "must map columns to number or category"),
        ({"data.columns": KINDS, "data.test": "test.csv"}, "test.csv: 'age'"),
        ({"ensemble.voting": "stack"}, "ensemble.voting: stack: needs columns of the table, which data.columns names"),
    ],
)
def test_what_is_wrong_is_a_line_of_the_command(
    project: Project, table: pd.DataFrame, foldtune: Command, changes: dict[str, Any], words: str
) -> None:
    table[["image"]].to_csv(project.folder / "test.csv", index=False)
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert words in " ".join(err.split())


def test_new_images_get_their_columns_from_a_csv(project: Project, table: pd.DataFrame) -> None:
    images = NewImages((project.rows[4][0], "other.png"), (Path("a"), Path("b")))
    found = with_columns(images, KINDS, project.folder / "train.csv", "image")  # type: ignore[arg-type]
    assert found.columns is not None
    np.testing.assert_array_equal(found.columns.values["age"], [4.0, np.nan])
    assert found.columns.values["sex"].tolist() == ["m", ""]
    bare = NewImages((project.rows[4][0].removesuffix(".png"),), (Path("a"),))
    found = with_columns(bare, KINDS, project.folder / "train.csv", "image")  # type: ignore[arg-type]
    assert found.columns is not None
    assert found.columns.values["age"].tolist() == [4.0]
    with pytest.raises(InputError, match="names none of the 1 images"):
        with_columns(NewImages(("x.png",), (Path("x"),)), {"age": "number"}, project.folder / "train.csv", "image")


def by_case(project: Project, ages: list[str]) -> dict[str, Any]:
    """Write cases of two rows, spelled 0 and 0.0, with ages; gives the changes of the configuration."""
    frame = pd.DataFrame(project.rows, columns=["image", "label"])
    frame["eye"] = [f"{row // 2}{'.0' * (row % 2)}" for row in range(len(frame))]
    frame["age"] = ages
    frame.to_csv(project.folder / "train.csv", index=False)
    return {"data.columns": {"age": "number"}, "data.case": "eye"}


def test_columns_of_cases_are_those_of_their_rows(project: Project, foldtune: Command) -> None:
    changes = by_case(project, [str(row // 2) if row % 3 else "" for row in range(len(project.rows))])
    checked = check_file(Path(project.config(changes)))
    cases = checked.table.judged_ids.tolist()
    found = labelled_columns(checked.config.data, checked.task, [*cases, "none"])
    assert found is not None
    np.testing.assert_array_equal(found.values["age"], [*map(float, range(12)), np.nan], "blank cells are filled")
    by_case(project, [str(row) for row in range(len(project.rows))])
    code, _, err = foldtune("validate", project.config(changes))
    assert code == 2
    assert "data.columns.age: 12 cases of" in " ".join(err.split())
    assert "have several values (first: '0')" in " ".join(err.split())


def test_columns_of_cases_in_several_columns_of_images_and_of_new_ones(project: Project) -> None:
    names = [name for name, _ in project.rows]
    wide = pd.DataFrame(
        {"one": names[::2], "two": [*names[1:-1:2], ""], "label": [row[1] for row in project.rows[::2]]}
    )
    wide["age"] = range(12)
    wide.to_csv(project.folder / "train.csv", index=False)
    changes = {"data.columns": {"age": "number"}, "data.id": ["one", "two"]}
    checked = check_file(Path(project.config(changes)))
    found = labelled_columns(checked.config.data, checked.task, checked.table.judged_ids.tolist())
    assert found is not None
    assert found.values["age"].tolist() == list(range(12))
    case = CaseColumns(("one", "two"), None)
    images = find_images(project.folder / "train.csv", project.folder / "images", "image", case=case)
    seen = with_columns(images, {"age": "number"}, project.folder / "train.csv", "image", case)
    assert seen.columns is not None
    assert seen.columns.values["age"].tolist() == list(range(12))


@pytest.mark.parametrize(
    ("cells", "part"),
    [
        ({"age": ["1", "nan"], "sex": ["f", "m"]}, "are no numbers (first: 'nan' in data row 2)"),
        ({"age": ["1", "inf"], "sex": ["f", "m"]}, "are no numbers (first: 'inf' in data row 2)"),
    ],
)
def test_numbers_that_are_none_are_named(project: Project, cells: dict[str, list[str]], part: str) -> None:
    images = find_images(project.folder / "images", None, "image")
    frame = pd.DataFrame({"image": images.ids[:2], **cells})
    frame.to_csv("ages.csv", index=False)
    with pytest.raises(InputError, match=re.escape(part)):
        with_columns(images, {"age": "number", "sex": "category"}, Path("ages.csv"), "image")


def test_two_rows_of_an_image_and_images_without_a_row(project: Project) -> None:
    images = find_images(project.folder / "images", None, "image")
    stem = images.ids[0].rpartition(".")[0]
    pd.DataFrame({"image": [images.ids[0], stem], "age": ["1", "2"]}).to_csv("ages.csv", index=False)
    with pytest.raises(InputError, match="has several rows of 1 images, with other values"):
        with_columns(images, {"age": "number"}, Path("ages.csv"), "image")
    pd.DataFrame({"image": [images.ids[0], images.ids[0]], "age": ["1", "1"]}).to_csv("ages.csv", index=False)
    found = with_columns(images, {"age": "number"}, Path("ages.csv"), "image")
    assert found.columns is not None
    assert found.columns.unknown.tolist() == [False] + [True] * (len(images.ids) - 1)
