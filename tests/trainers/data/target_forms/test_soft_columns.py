"""Columns of fractions, and cells of -1 and blank ones under each rule for what is uncertain."""

from __future__ import annotations

import numpy as np
import pytest

from foldtune.errors import DataError
from foldtune.trainers.data.target_forms.columns import needs_weights, soft_columns

NAMES = ("a", "b")
CELLS = np.array([[1.0, 0.0], [-1.0, 1.0], [np.nan, -1.0], [np.nan, np.nan]])
NAN = float("nan")


@pytest.mark.parametrize(
    ("rule", "weights"),
    [
        ("ignore", [[1, 0], [NAN, 1], [NAN, NAN], [NAN, NAN]]),
        ("positive", [[1, 0], [1, 1], [0, 1], [0, 0]]),
        ("negative", [[1, 0], [0, 1], [0, 0], [0, 0]]),
    ],
)
def test_what_is_uncertain_becomes_what_the_rule_says(rule: str, weights: list[list[float]]) -> None:
    found = soft_columns(CELLS, NAMES, several=True, uncertain=rule)  # type: ignore[arg-type]
    assert np.array_equal(found.weights, np.array(weights), equal_nan=True)
    assert found.are_hard == (rule != "ignore")
    assert f"data.uncertain: {rule}: 2 cells of -1 and 3 blank ones of 8" in found.notes[0]


def test_texts_keep_unknown_cells_and_rows() -> None:
    found = soft_columns(CELLS, NAMES, several=True, uncertain="ignore")
    assert found.texts()[1:] == ['{"a": null, "b": 1.0}'] + ['{"a": null, "b": null}'] * 2
    assert soft_columns(CELLS, NAMES, several=True, uncertain="positive").labels() == [["a"], ["a", "b"], ["b"], []]


def test_minus_one_without_a_rule_is_refused_with_the_rules() -> None:
    assert needs_weights(CELLS, several=True)
    assert not needs_weights(CELLS, several=False)
    with pytest.raises(DataError, match=r"2 of 8 cells are -1 \(3 are blank\): set data.uncertain; ignore leaves"):
        soft_columns(CELLS, NAMES, several=True)


def test_columns_of_fractions_are_weights() -> None:
    cells = np.array([[0.25, 0.75], [np.nan, 1.0], [np.nan, np.nan]])
    assert needs_weights(cells, several=False)
    assert not needs_weights(np.array([[0.0, 1.0], [2.0, np.nan]]), several=False)
    one = soft_columns(cells, NAMES, several=False)
    assert one.texts() == ['{"a": 0.25, "b": 0.75}', '{"a": 0.0, "b": 1.0}', ""]
    assert one.notes == (
        "the columns of data.target hold fractions in 1 rows",
        "1 of 6 cells of the columns of data.target are empty, taken as 0",  # a row without any has no label at all
    )
    several = soft_columns(cells, NAMES, several=True)
    assert several.texts()[2] == '{"a": 0.0, "b": 0.0}'
    assert "3 of 6 cells of the columns of data.target are empty, taken as 0" in several.notes[1]


@pytest.mark.parametrize("value", [1.5, -0.2, -1.0])
def test_what_is_no_probability_is_refused(value: float) -> None:
    with pytest.raises(DataError, match=rf"column 'b': {value:g} is no probability.*\(1 rows, data rows 2\)"):
        soft_columns(np.array([[0.5, 0.5], [0.5, value]]), NAMES, several=False)


def test_a_rule_for_one_class_a_row_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.uncertain is for labels that are on or off"):
        soft_columns(CELLS, NAMES, several=False, uncertain="ignore")
