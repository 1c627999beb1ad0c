"""Labels renamed and rows left out before a task sees them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from foldtune.errors import DataError
from foldtune.trainers.data.labels import LabelRules, RareLabels, described
from foldtune.trainers.data.table import TableLayout, read_table
from foldtune.trainers.tasks.binary import Binary


def frame(*labels: str | None) -> pd.DataFrame:
    return pd.DataFrame({"image": [f"{row}.png" for row in range(len(labels))], "grade": list(labels)}, dtype=str)


def test_without_rules_nothing_changes() -> None:
    given = frame("0", None)
    kept, left_out = LabelRules("grade").apply(given, "t.csv")
    assert kept is given
    assert not left_out


def test_labels_are_renamed_and_those_mapped_to_null_left_out() -> None:
    rules = LabelRules("grade", {"0": "healthy", "1": "sick", "2": "sick", "9": None, "never": "x"})
    kept, left_out = rules.apply(frame("0", " 2", "9", "1", "9"), "t.csv")
    assert kept["grade"].tolist() == ["healthy", "sick", "sick"]
    assert kept["image"].tolist() == ["0.png", "1.png", "3.png"]
    assert left_out == {"label '9'": 2}
    assert described(left_out) == "2 with label '9'"


def test_labels_that_the_map_lacks_stay_and_are_named() -> None:
    given = frame("sik", "sick", "sik", "?")
    rules = LabelRules("grade", {"sick": "1", "healthy": "0"})
    assert rules.apply(given, "t.csv")[0]["grade"].tolist() == ["sik", "1", "sik", "?"]
    assert rules.notes(given, "t.csv") == ("column 'grade': target_map leaves 2 labels as they are: ?, sik",)
    with pytest.raises(DataError, match="target_map names 'sickk', which no row has; did you mean 'sick'"):
        LabelRules("grade", {"sickk": "1"}).check_names(given, "t.csv")


def test_rows_without_a_label_are_left_out_or_left_to_the_task() -> None:
    given = frame("0", None, " ", "1")
    kept, left_out = LabelRules("grade", on_missing="skip").apply(given, "t.csv")
    assert kept["grade"].tolist() == ["0", "1"]
    assert left_out == {"no label": 2}
    mapped, left_out = LabelRules("grade", {"0": "a", "1": "b"}).apply(given, "t.csv")
    assert mapped["grade"].isna().tolist() == [False, True, True, False], "the task refuses them with their rows"
    assert not left_out


def test_each_label_of_a_list_is_mapped_and_its_row_stays() -> None:
    rules = LabelRules("grade", {"a": "x", "b": "x", "c": None}, separator="|")
    kept, left_out = rules.apply(frame("a|b", "c", "b | c", None), "t.csv")
    assert kept["grade"].fillna("").tolist() == ["x", "", "x", ""]
    assert not left_out


def test_a_map_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(DataError, match="every row is left out"):
        LabelRules("grade", {"0": None}).apply(frame("0", "0"), "t.csv")


def test_a_number_of_rows_that_no_label_has_is_named() -> None:
    rows = "every label is left out: data.min_rows is 4, and the most frequent label, 'a', has 3 rows"
    weights = ["{'a': 0.5, 'b': 0.5}", "{'a': 1}", "{'a': 1, 'c': 0}"]
    for given, separator in ((["a", "b", "a", "a "], None), (["a|b", "a", "a", None], "|"), (weights, "|")):
        with pytest.raises(DataError, match=rows):
            LabelRules("grade", separator=separator, rare=RareLabels(4)).apply(frame(*given), "t.csv")


def test_images_of_excluded_rows_are_not_read(tmp_path: Path) -> None:
    """Its image need not exist, its id may come again."""
    Image.new("RGB", (8, 8)).save(tmp_path / "0.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    (tmp_path / "t.csv").write_text("image,grade\n0.png,0\nnone.png,\n1.png,4\n0.png,9\n")
    rules = LabelRules("grade", {"0": "healthy", "4": "sick", "9": None}, "skip")
    table = read_table(tmp_path / "t.csv", TableLayout(tmp_path), Binary("grade", ("healthy", "sick")), labels=rules)
    assert table.ids.tolist() == ["0.png", "1.png"]
    assert table.targets is not None
    assert table.targets.tolist() == [0, 1]
    assert table.select([1]).left_out == table.left_out == {"no label": 1, "label '9'": 1}


def test_one_key_stands_for_all_others() -> None:
    given = frame("0", "1", "2", "9", None)
    kept, _ = LabelRules("grade", {"0": "healthy", "*": "sick"}).apply(given, "t.csv")
    assert kept["grade"].fillna("").tolist() == ["healthy", "sick", "sick", "sick", ""]
    kept, left_out = LabelRules("grade", {"0": "healthy", "1": "*", "*": None}).apply(given, "t.csv")
    assert kept["grade"].fillna("").tolist() == ["healthy", "1", ""]
    assert left_out == {"label '2'": 1, "label '9'": 1}
    kept, _ = LabelRules("grade", {"0": "healthy", "*": "*"}).apply(given, "t.csv")
    assert kept["grade"].fillna("").tolist() == ["healthy", "1", "2", "9", ""]
    kept, _ = LabelRules("grade", {"a": None, "*": "*"}, separator="|").apply(frame("a|b", "a", "c|b"), "t.csv")
    assert kept["grade"].tolist() == ["b", "", "c|b"]


def test_a_map_to_null_alone_leaves_the_others_as_they_are_and_its_slips_are_named() -> None:
    given = frame("Urticaria", "Eczema", "Urticaria", "Acne")
    rules = LabelRules("grade", {"Urticaria": None})
    assert rules.apply(given, "t.csv")[0]["grade"].tolist() == ["Eczema", "Acne"]
    rules.check_names(given, "t.csv")
    LabelRules("grade", {"Psoriasis": None}).check_names(given, "t.csv")
    with pytest.raises(DataError, match="target_map names 'Urticria', which no row has; did you mean 'Urticaria'"):
        LabelRules("grade", {"Urticria": None}).check_names(given, "t.csv")


def test_labels_of_few_rows_are_left_out_after_the_map() -> None:
    given = frame("a", "b", "c", "a", "1", "1.0", None)
    rules = LabelRules("grade", {"c": "b", "*": "*"}, rare=RareLabels(2))
    kept, left_out = rules.apply(given, "t.csv")
    assert kept["grade"].fillna("").tolist() == ["a", "b", "b", "a", "1", "1.0", ""]
    assert not left_out
    kept, left_out = LabelRules("grade", rare=RareLabels(2)).apply(given, "t.csv")
    assert kept["grade"].fillna("").tolist() == ["a", "a", "1", "1.0", ""]
    assert left_out == {"a label of fewer than 2 rows": 2}
    with pytest.raises(DataError, match=r"every label is left out: data.min_rows is 5"):
        LabelRules("grade", rare=RareLabels(5)).apply(frame("a", "b"), "t.csv")


def test_of_lists_the_label_is_left_out_and_its_row_stays() -> None:
    rules = LabelRules("grade", separator="|", rare=RareLabels(2))
    given = frame("a|b", "a", "b|c", "c|a")
    kept, left_out = LabelRules("grade", separator="|", rare=RareLabels(3)).apply(given, "t.csv")
    assert (kept["grade"].tolist(), left_out) == (["a", "a", "", "a"], {})
    assert rules.apply(given, "t.csv")[0]["grade"].tolist() == given["grade"].tolist()
    notes = LabelRules("grade", separator="|", rare=RareLabels(3)).notes(given, "t.csv")
    assert notes == ("2 labels have fewer than 3 rows and are left out (data.min_rows): b (2), c (2)",)


def test_of_a_known_task_only_its_labels_stay() -> None:
    kept, left_out = LabelRules("grade", rare=RareLabels(2, ("a",))).apply(frame("a", "b", "b"), "t.csv")
    assert (kept["grade"].tolist(), left_out) == (["a"], {"a label of fewer than 2 rows": 2})
