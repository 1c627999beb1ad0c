"""Lists as text: what Python, NumPy and JSON write is read back, anything else is refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldtune.errors import DataError
from foldtune.trainers.data.target_forms.label_text import TargetForm, label_text
from foldtune.trainers.data.target_forms.list_text import list_text, lists_of, parse_list

LABELS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda text: text.strip() == text)
)


@given(LABELS)
def test_what_python_and_json_write_is_read_back(labels: list[str]) -> None:
    assert parse_list(repr(labels)) == labels
    assert parse_list(json.dumps(labels)) == labels
    assert parse_list(json.dumps(labels, ensure_ascii=False)) == labels
    assert parse_list(list_text(labels, "json")) == parse_list(list_text(labels, "python")) == labels


@given(st.lists(st.sampled_from(["a", "it's", 'say "x"', "a b", "c, d", "[x]"]), max_size=4))
def test_what_numpy_writes_is_read_back(labels: list[str]) -> None:
    assert parse_list(str(np.array(labels, dtype=object))) == labels


@pytest.mark.parametrize(
    ("cell", "labels"),
    [
        ("[]", []),
        ("[0, 3]", ["0", "3"]),
        ("[0 3 7]", ["0", "3", "7"]),
        ("['a'\n 'b']", ["a", "b"]),
        ("[Atelectasis, Pleural Thickening]", ["Atelectasis", "Pleural Thickening"]),
        ("['a',]", ["a"]),
    ],
)
def test_other_notations(cell: str, labels: list[str]) -> None:
    assert parse_list(cell) == labels


@pytest.mark.parametrize(
    "cell",
    [
        "['a'",
        "['a'] + ['b']",
        "[['a']]",
        "['a''b']",
        "[None]",
        '[null, "a"]',
        "['']",
        "[f('x')]",
        "[{'a': 1}]",
        "['\\x']",
    ],
)
def test_what_is_no_list_of_labels_is_refused_and_never_evaluated(cell: str) -> None:
    with pytest.raises(ValueError, match=r"no label|is no list"):
        parse_list(cell)


def test_a_column_of_lists_becomes_labels_with_a_separator_that_none_has() -> None:
    frame = pd.DataFrame({"labels": ["['a|b', 'c']", None, "[]", "['c']"]})
    text = label_text(frame, TargetForm("labels", several=True), "t.csv")
    assert (text.separator, text.list_form) == (";", "python")
    assert text.frame["labels"].tolist() == ["a|b;c", "", "", "c"]
    assert label_text(text.frame, TargetForm("labels", several=True), "t.csv").list_form is None
    assert lists_of(pd.DataFrame({"labels": ['["a"]']}), "labels", "t.csv") == ([["a"]], "json")


def test_cells_that_are_no_lists_among_lists_are_named_with_their_rows() -> None:
    frame = pd.DataFrame({"labels": ["['a']", "b", "['c'"]})
    with pytest.raises(DataError) as raised:
        label_text(frame, TargetForm("labels", several=True), "t.csv")
    assert "data rows 2: 'b' is no list of labels, such as ['a', 'b']" in str(raised.value)
    assert "data rows 3: " in str(raised.value)
