"""Labels as columns, against pandas."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from foldtune.errors import DataError
from foldtune.trainers.data.target_forms.columns import column_values, on_columns, one_hot_labels
from foldtune.trainers.data.target_forms.label_text import TargetForm, label_text

NAMES = ("MEL", "NV", "BCC")


def table(*rows: str) -> pd.DataFrame:
    return pd.DataFrame([row.split(",") for row in rows], columns=list(NAMES), dtype=str).replace("", np.nan)


@pytest.mark.parametrize(("one", "zero"), [("1", "0"), ("1.0", "0.0"), ("True", "False"), (" 1", "0 "), ("1e0", "")])
def test_one_hot_is_the_name_of_the_column(one: str, zero: str) -> None:
    labels = np.random.default_rng(0).integers(0, 3, 50)
    frame = pd.DataFrame(np.where(np.eye(3)[labels] == 1, one, zero), columns=list(NAMES))
    assert (
        one_hot_labels(column_values(frame, NAMES, "t.csv"), NAMES, "t.csv")
        == frame.apply(lambda row: NAMES[list(row).index(one)], axis=1).tolist()
    )


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (("1,0,0", "0,0,0"), "1 of 2 rows have no 1 in the 3 columns of data.target (data rows 2)"),
        (("1,0,0", "1,0,1"), "1 of 2 rows have more than one 1 (data rows 2; the first: MEL, BCC)"),
        (("1,0,0", "0,0.5,0"), "column 'NV': '0.5' is neither 0 nor 1 (1 rows, data rows 2)"),
        (("1,0,0", "0,-1,0"), "column 'NV': '-1' is neither 0 nor 1"),
        (("1,0,0", "0,yes,0"), "column 'NV': 'yes' is no number"),
        (("1,0,0", "0,inf,0"), "column 'NV': 'inf' is no number"),
    ],
)
def test_what_is_not_one_hot_is_named_with_its_rows(rows: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError) as raised:
        one_hot_labels(column_values(table(*rows), NAMES, "t.csv"), NAMES, "t.csv")
    assert words in str(raised.value)


def test_rows_without_a_1_are_a_class_of_their_own_if_it_has_a_name() -> None:
    assert one_hot_labels(column_values(table("0,0,1", "0,0,0", ",,"), NAMES, "t.csv"), NAMES, "t", "healthy") == [
        "BCC",
        "healthy",
        "",
    ]
    assert one_hot_labels(column_values(table("0,0,1", ",,"), NAMES, "t.csv"), NAMES, "t") == ["BCC", ""]


def test_values_are_the_numbers_of_the_table() -> None:
    values = column_values(table("0.25,.5,", "1,0,True"), NAMES, "t")
    np.testing.assert_array_equal(values, [[0.25, 0.5, np.nan], [1, 0, 1]])
    with pytest.raises(DataError, match="neither 0 nor 1"):
        on_columns(column_values(table("0.25,.5,", "1,0,True"), NAMES, "t"), NAMES, "t")


def test_multi_hot_becomes_a_list_of_labels_with_a_separator_that_no_label_has() -> None:
    frame = table("1,0,1", "0,0,0", ",1,")
    text = label_text(frame, TargetForm("labels", NAMES, several=True), "t")
    assert (text.separator, text.frame["labels"].tolist()) == ("|", ["MEL|BCC", "", "NV"])
    assert text.notes == ("2 of 9 cells of the columns of data.target are empty, taken as 0",)
    renamed = frame.rename(columns={"MEL": "MEL|x", "NV": "a;b"})
    text = label_text(renamed, TargetForm("labels", tuple(renamed.columns), several=True), "t")
    assert (text.separator, text.frame["labels"].tolist()) == (",", ["MEL|x,BCC", "", "a;b"])


def test_a_pattern_chooses_columns_and_those_of_no_row_are_counted() -> None:
    frame = table("1,0,0", "0,1,0").rename(columns="l_{}".format).assign(image="a")
    text = label_text(frame, TargetForm("l_*", "l_*"), "t")
    assert text.frame["l_*"].tolist() == ["l_MEL", "l_NV"]
    assert text.notes == ("1 column is 1 in no row and no class: l_BCC",)
    with pytest.raises(DataError, match=r"no column matches 'x_\*'; there are: l_MEL"):
        label_text(frame, TargetForm("x_*", "x_*"), "t")
