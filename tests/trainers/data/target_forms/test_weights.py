"""Cells and columns of weights: parsed as data, refused by row, renamed as a map has it."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldtune.errors import DataError
from foldtune.trainers.data.labels import LabelRules
from foldtune.trainers.data.target_forms.weights import LabelWeights, holds_weights, parse_weights, weight_text


@pytest.mark.parametrize(
    ("cell", "weights"),
    [
        ("{'a': .4}", {"a": 0.4}),
        (' {"a": 0.4, "b c": 1} ', {"a": 0.4, "b c": 1.0}),
        ("{'Kaposi\\'s': 0.5, \"b\": 0.5}", {"Kaposi's": 0.5, "b": 0.5}),
        ("{3: 0.25, 'é': 0.75}", {"3": 0.25, "é": 0.75}),
        ("{}", {}),
        ("", {}),
    ],
)
def test_mappings_in_python_s_notation_and_in_json_are_read(cell: str, weights: dict[str, float]) -> None:
    assert parse_weights(cell) == weights
    assert parse_weights(weight_text(weights)) == weights


@pytest.mark.parametrize("cell", ['{"a": null, "b": 1}', "{'a': None, 'b': 1}"])
def test_a_weight_that_is_none_is_unknown(cell: str) -> None:
    assert math.isnan(parse_weights(cell)["a"])
    assert weight_text(parse_weights(cell)) == '{"a": null, "b": 1.0}'


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("{'a': 0.4", "is no mapping of labels to weights"),
        ("{'a'}", "is no mapping"),
        ("['a', 'b']", "is no mapping"),
        ("a", "is no mapping"),
        ("{'a': __import__('os').getpid()}", "is no mapping"),
        ("{**{'a': 1}}", "is no mapping"),
        ("{" * 5000, "is no mapping"),
        ("{'a': 1.2}", "weight 1.2 of label 'a' is no probability"),
        ("{'a': -1}", "weight -1 of label 'a' is no probability"),
        ("{'a': NaN}", "is no probability"),
        ('{"a": NaN}', "is no probability"),
        ('{"a": 1e999}', "is no probability"),
        ("{'a': 'much'}", "weight 'much' of label 'a' is no number"),
        ("{'a': True}", "is no number"),
        ("{'a': .4, 'a': .6}", "label 'a' is there more than once"),
        ("{' ': .4}", "is no label"),
        ("{(1, 2): .4}", "is no label"),
    ],
)
def test_a_cell_that_is_no_mapping_of_weights_is_refused_with_the_reason(cell: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as error:
        parse_weights(cell)
    assert len(str(error.value)) < 200


def test_bad_cells_are_named_with_their_rows() -> None:
    frame = pd.DataFrame({"y": ["{'a': .4}", "a", None, "{'a': 2}", "a"]})
    assert holds_weights(frame, "y")
    with pytest.raises(DataError) as error:
        LabelWeights.of(frame, "y", "t.csv")
    first, second = error.value.problems
    assert first.startswith("t.csv: column 'y', data rows 2, 5: 'a' is no mapping of labels to weights")
    assert second.startswith("t.csv: column 'y', data rows 4: weight 2 of label 'a' is no probability")


def test_many_bad_cells_are_counted() -> None:
    with pytest.raises(DataError, match="has 15 more such cells") as error:
        LabelWeights.of(pd.DataFrame({"y": [f"{{{row}" for row in range(20)]}), "y", "t.csv")
    assert len(error.value.problems) == 6


def test_unknown_labels_of_weights_are_named() -> None:
    weights = LabelWeights.of(pd.DataFrame({"y": ["{'cat': .4}", "{'Cat': 1}"]}), "y", "t.csv")
    with pytest.raises(DataError, match=r"unknown label 'Cat'; did you mean 'cat'\? .*data rows 2\)"):
        weights.matrix(("cat",), "t.csv")
    assert weights.matrix(("cat", "Cat", "dog"), "t.csv").tolist() == [[0.4, 0, 0], [0, 1, 0]]


def rules(mapping: dict[str, str | None], **options: str) -> tuple[list[str], dict[str, int]]:
    cells = ["{'a': .25, 'b': .5, 'c': .25}", "{'c': 1}", "", "{'a': null}"]
    frame, left_out = LabelRules("y", mapping, **options).apply(pd.DataFrame({"y": cells}), Path("t.csv"))
    return frame["y"].tolist(), left_out


def test_weights_of_labels_that_become_one_add_up() -> None:
    kept, left_out = rules({"a": "x", "b": "x", "c": None}, separator="|")
    assert kept == ['{"x": 0.75}', "{}", "{}", '{"x": null}']
    assert left_out == {}


def test_a_row_whose_class_is_left_out_goes_with_it() -> None:
    kept, left_out = rules({"a": "x", "b": "x", "c": None}, on_missing="skip")
    assert kept == ['{"x": 0.75}', '{"x": null}']
    assert left_out == {"no label": 1, "no label that stays": 1}
    assert rules({"a": "x", "b": "x"})[0][1] == '{"c": 1.0}', "a label that is not named stays as it is"


def test_very_many_rows_of_weights_are_read() -> None:
    weights = np.random.default_rng(0).random(1000).round(3)
    cells = [f"{{'a': {weight}, 'b': {1 - weight:.3f}}}" for weight in weights]
    frame = pd.DataFrame({"y": pd.Series(cells * 100, dtype=object)})
    matrix = LabelWeights.of(frame, "y", "t.csv").matrix(("a", "b"), "t.csv")
    assert matrix.shape == (100_000, 2)
    assert matrix[:1000, 0] == pytest.approx(weights)
