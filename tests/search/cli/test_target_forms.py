"""Forms of labels through the commands: what is read, what goes back out, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldtune.errors import InputError
from foldtune.results.exports.submission import arrange_submission
from foldtune.search.config.loading import load_config
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.predict.tables import submission_frame
from foldtune.search.runs.run import new_store, open_run, reopen_labelled, start_run
from foldtune.search.runs.validation import Checked, check_run
from foldtune.trainers.tasks import task_from_dict

Command = Callable[..., tuple[int, str, str]]
NAMES = ["c0", "c1", "c2"]


def checked(project: Any, changes: dict[str, Any]) -> Checked:
    return check_run(load_config(Path(project.config(changes))))


def one_hot(project: Any, name: str = "hot.csv", dtype: type = float) -> pd.DataFrame:
    """Write the project's labels as columns, as ISIC 2018's table has them; gives the table."""
    frame = pd.get_dummies(pd.Series([label for _, label in project.rows]), dtype=dtype)
    frame.insert(0, "image", [name for name, _ in project.rows])
    frame.to_csv(project.folder / name, index=False)
    return frame


@pytest.mark.parametrize("target", [NAMES, NAMES[::-1], {"columns": "c*"}, {"columns": NAMES}])
def test_one_hot_columns_are_the_same_task_as_a_column_of_labels(project: Any, target: Any) -> None:
    plain = checked(project, {})
    one_hot(project)
    hot = checked(project, {"data.train": "hot.csv", "data.target": target})
    assert hot.task.label_names == plain.task.label_names
    np.testing.assert_array_equal(hot.table.targets, plain.table.targets)
    np.testing.assert_array_equal(hot.table.ids, plain.table.ids)
    np.testing.assert_array_equal(hot.folds, plain.folds)


def test_a_run_of_columns_opens_again(project: Any) -> None:
    one_hot(project, dtype=bool)
    changes = {"data.train": "hot.csv", "data.target": {"columns": "c*"}, "data.target_map": {"c0": "a", "c1": "b"}}
    found = checked(project, {**changes, "data.target_map": {**changes["data.target_map"], "c2": None}})
    assert found.task.label_names == ("a", "b")
    with new_store(found.config) as store:
        _, labelled = start_run(found, store, 1, None)
    again = reopen_labelled(open_run("tiny", "runs"), 1, None)
    np.testing.assert_array_equal(again.table.targets, labelled.table.targets)
    assert len(again.table) == 16


def test_multi_hot_columns_are_the_same_task_as_lists(project: Any) -> None:
    frame = one_hot(project)
    frame.loc[::3, "c1"] = 1.0
    frame.loc[1::5, NAMES] = 0.0
    frame.to_csv(project.folder / "hot.csv", index=False)
    lists = frame[NAMES].apply(lambda row: " ".join(name for name in NAMES if row[name] == 1), axis=1)
    pd.DataFrame({"image": frame["image"], "label": lists}).to_csv(project.folder / "lists.csv", index=False)
    common = {"task": "multilabel"}
    listed = checked(project, {**common, "data.train": "lists.csv", "data.label_separator": " "})
    hot = checked(project, {**common, "data.train": "hot.csv", "data.target": NAMES})
    np.testing.assert_array_equal(hot.table.targets, frame[NAMES].to_numpy())
    np.testing.assert_array_equal(hot.table.targets, listed.table.targets)
    np.testing.assert_array_equal(hot.folds, listed.folds)


def test_without_a_sample_the_submission_has_the_columns_of_the_table() -> None:
    from foldtune.trainers.tasks.multiclass import Multiclass

    data = DataConfig(train=Path("t.csv"), target=("NV", "MEL", "BCC"))
    task = Multiclass("NV, MEL, BCC", ("BCC", "MEL", "NV"), (1, 1, 1))
    scores = np.array([[0.1, 0.2, 0.7]])
    frame = submission_frame(task, data, np.array(["a"]), scores, np.array([2]), metric="accuracy")
    pd.testing.assert_frame_equal(frame, pd.DataFrame({"image": ["a"], "NV": [0.7], "MEL": [0.2], "BCC": [0.1]}))


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (["c0", "C1", "c2"], "data.target: hot.csv: unknown column 'C1'; did you mean 'c1'?"),
        (["c0", "image"], "column 'image' holds no labels but the ids or groups"),
        ({"columns": "label_*"}, "no column matches 'label_*'; there are: image, c0, c1, c2"),
        ({"column": "c*"}, "a mapping has the one key columns"),
        (["c0", "c0"], "data.target: column 'c0' is given more than once"),
        (["c0", 1], "a list holds names of columns, not 1; quote it"),
        ([], "a list holds names of columns, and names at least one"),
        (5, "must be text, a list of columns, or {columns:"),
        (["c0", "c1"], "8 of 24 rows have no 1 in the 2 columns of data.target"),
    ],
)
def test_wrong_columns_end_in_one_line(project: Any, foldtune: Command, target: Any, words: str) -> None:
    one_hot(project)
    code, out, err = foldtune("validate", project.config({"data.train": "hot.csv", "data.target": target}))
    assert (code, out) == (2, "")
    assert words in " ".join(err.split()).replace(f"{project.folder}/", "")


@pytest.mark.parametrize(
    ("row", "words"), [("1,1,0", "more than one 1"), ("0,0,0", "have no 1"), (",,", "is empty in")]
)
def test_a_row_that_is_not_one_hot_is_refused(project: Any, foldtune: Command, row: str, words: str) -> None:
    one_hot(project, dtype=int)
    path = project.folder / "hot.csv"
    lines = path.read_text().splitlines()
    lines[7] = f"{lines[7].split(',')[0]},{row}"
    path.write_text("\n".join(lines))
    code, _, err = foldtune("validate", project.config({"data.train": "hot.csv", "data.target": NAMES}))
    assert code == 2
    assert words in err
    assert "data rows 7" in err


def test_a_pattern_of_the_config_is_stored(project: Any) -> None:
    with pytest.raises(InputError):
        checked(project, {"data.target": {"columns": "x*"}})
    config = load_config(Path(project.config({"data.target": {"columns": "c*"}})))
    assert DataConfig.model_validate(config.data.model_dump(mode="json")) == config.data


def test_a_label_of_none_is_no_class_and_goes_back_out(project: Any) -> None:
    rows = [(name, label if place % 3 else "No Finding") for place, (name, label) in enumerate(project.rows)]
    rows[1] = (rows[1][0], "c1|no finding|No Finding")
    project.table(rows, "train.csv")
    changes = {"task": "multilabel", "data.none_label": "No Finding", "data.on_missing": "skip"}
    found = checked(
        project,
        {
            **changes,
            "data.target_map": {"no finding": None, **{name: name for name in NAMES}, "No Finding": "No Finding"},
        },
    )
    assert found.task.label_names == ("c0", "c1", "c2")
    assert len(found.table) == len(rows)
    on = [[label == name for name in NAMES] for _, label in rows]
    on[1] = [False, True, False]
    np.testing.assert_array_equal(found.table.targets, np.array(on, dtype=int))
    assert any("1 rows have 'No Finding' beside other labels, which hold" in note for note in found.notes)
    task = task_from_dict(found.task.to_dict())
    assert task == found.task
    scores = np.array([[0.1, 0.2, 0.3], [0.9, 0.2, 0.3]])
    predictions = task.predict(scores)
    joined = task.submission_frame(["a", "b"], predictions, ["image", "label"])
    assert joined["label"].tolist() == ["No Finding", "c0"]
    columns = ["image", "No Finding", "c2", "c1", "c0"]
    wide = task.submission_frame(["a", "b"], predictions, columns, scores=scores)
    np.testing.assert_allclose(wide[columns[1:]], [[0.7, 0.3, 0.2, 0.1], [0.1, 0.3, 0.2, 0.9]])


def test_a_label_of_none_that_is_misspelt_is_pointed_at(project: Any, foldtune: Command) -> None:
    project.table(
        [(name, label if place % 3 else "No Finding") for place, (name, label) in enumerate(project.rows)], "train.csv"
    )
    code, _, err = foldtune("validate", project.config({"task": "multilabel", "data.none_label": "No Findng"}))
    assert code == 2
    assert "no label 'No Findng' (data.none_label); did you mean 'No Finding'?" in " ".join(err.split())


def test_rows_without_a_label_are_the_class_that_none_label_names(project: Any) -> None:
    rows = [(name, "" if label == "c0" else label) for name, label in project.rows]
    project.table(rows, "train.csv")
    found = checked(project, {"data.none_label": "healthy"})
    assert found.task.label_names == ("c1", "c2", "healthy")
    assert found.table.targets is not None
    assert np.bincount(found.table.targets).tolist() == [8, 8, 8]


def lists(project: Any, write: Callable[[list[str]], str], name: str = "lists.csv") -> None:
    """Write a table whose cells are lists of labels, the second of which has a comma and a blank."""
    rows = [[label] if place % 3 else [label, "Herpes, Zoster"] for place, (_, label) in enumerate(project.rows)]
    rows[4] = []
    frame = pd.DataFrame({"image": [image for image, _ in project.rows], "label": list(map(write, rows))})
    frame.to_csv(project.folder / name, index=False)


@pytest.mark.parametrize("write", [repr, json.dumps, lambda labels: str(np.array(labels, dtype=object))])
def test_lists_as_text_are_the_same_task_as_labels_with_a_separator(project: Any, write: Any) -> None:
    lists(project, write)
    lists(project, "|".join, "plain.csv")
    plain = checked(project, {"task": "multilabel", "data.train": "plain.csv"})
    found = checked(project, {"task": "multilabel", "data.train": "lists.csv"})
    assert found.task.label_names == plain.task.label_names == ("Herpes, Zoster", "c0", "c1", "c2")
    assert "column 'label': its cells are lists, whose items are the labels" in found.notes
    np.testing.assert_array_equal(found.table.targets, plain.table.targets)
    np.testing.assert_array_equal(found.folds, plain.folds)
    read_back = task_from_dict(json.loads(json.dumps(found.task.to_dict())))
    assert read_back == found.task
    predictions = np.array([[1, 0, 1, 0], [0, 0, 0, 0]])
    out = read_back.submission_frame(["a", "b"], predictions, ["image", "label"])["label"].tolist()
    one = json.dumps if write is json.dumps else repr
    assert out == [one(["Herpes, Zoster", "c1"]), "[]"]


@pytest.mark.parametrize(
    ("task", "cells", "words"),
    [
        ("multilabel", ["['c0']", "c1"], "data rows 2, 4, 6, 8, 10, …: 'c1' is no list of labels, such as ['a', 'b']"),
        ("multilabel", ["['c0'", "['c1']"], "is no list of labels"),
        (
            "multiclass",
            ["['c0']", "['c1']"],
            "2 labels written as a list (\"['c0']\"), which is no class; task multilabel",
        ),
        ("multilabel", ["0", "1"], "holds '0', '1', which are no names of labels; where it is one label that is there"),
        ("multilabel", ["-1.0", "1.0"], "which are no names of labels"),
    ],
)
def test_cells_that_are_no_names_are_never_classes(
    project: Any, foldtune: Command, task: str, cells: list[str], words: str
) -> None:
    project.table([(name, cells[place % 2]) for place, (name, _) in enumerate(project.rows)], "train.csv")
    code, out, err = foldtune("validate", project.config({"task": task}))
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())


def test_one_column_of_0_and_1_is_one_label(project: Any) -> None:
    project.table([(name, str(int(label == "c0"))) for name, label in project.rows], "train.csv")
    found = checked(project, {"task": "multilabel", "data.target": ["label"]})
    assert found.task.label_names == ("label",)
    np.testing.assert_array_equal(found.table.targets[:, 0], [label == "c0" for _, label in project.rows])


def test_labels_of_few_rows_are_left_out_and_said(project: Any, foldtune: Command) -> None:
    rows = [*project.rows[:-3], *((name, f"rare{place}") for place, (name, _) in enumerate(project.rows[-3:]))]
    project.table(rows, "train.csv")
    changes = {"data.min_rows": 2, "data.target_map": {"c0": None}}
    code, out, _ = foldtune("validate", project.config(changes))
    assert code == 0
    assert "3 labels have fewer than 2 rows and are left out (data.min_rows): rare0 (1), rare1" in " ".join(out.split())
    found = checked(project, changes)
    kept = [name for name, label in rows if label in ("c1", "c2")]
    assert found.table.ids.tolist() == kept
    with new_store(found.config) as store:
        start_run(found, store, 1, None)
    assert reopen_labelled(open_run("tiny", "runs"), 1, None).table.ids.tolist() == kept


def test_finer_labels_are_trained_and_coarser_ones_judged(project: Any) -> None:
    changes = {"data.judge_map": {"c0": "healthy", "c1": "sick", "c2": "sick"}, "search.metric": "auroc"}
    plain, found = checked(project, {}), checked(project, {**changes, "data.positive": "sick"})
    assert (found.task.label_names, found.task.head_size) == (("healthy", "sick"), 3)
    assert found.goal.metric == "auroc"
    np.testing.assert_array_equal(found.table.targets, plain.table.targets)
    np.testing.assert_array_equal(found.folds, plain.folds)
    assert "3 classes are trained and 2 judged (data.judge_map): healthy: c0; sick: c1, c2" in found.notes
    with new_store(found.config) as store:
        start_run(found, store, 1, None)
    again = open_run("tiny", "runs")
    assert (again.task.label_names, again.task.head_size) == (found.task.label_names, 3)
    np.testing.assert_array_equal(reopen_labelled(again, 1, None).table.targets, plain.table.targets)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data.judge_map": {"c0": "a", "c1": "b"}}, "judge_map lacks a label: unknown label 'c2'"),
        ({"data.judge_map": {"c0": "a", "c1": "b", "c2": None}}, "data.judge_map: a label cannot be left out"),
        ({"data.judge_map": {"c0": "a", "c1": "a", "c2": "a"}}, "has only the label 'a'"),
        (
            {"data.judge_map": {"c0": "a", "c1": "b"}, "task": "multilabel"},
            "data.judge_map: the task multilabel has no",
        ),
        ({"data.judge_map": {"c0": "a", "c1": "b", "c2": "b"}, "search.metric": "top5_accuracy"}, "unknown metric"),
    ],
)
def test_a_wrong_judge_map_is_explained(project: Any, foldtune: Command, changes: dict[str, Any], words: str) -> None:
    code, out, err = foldtune("validate", project.config({"search.metric": None, **changes}))
    assert (code, out) == (2, "")
    assert words in " ".join(err.split())


def test_the_table_of_isic_2018_goes_in_and_out_as_it_is(project: Any, shared_data: Path) -> None:
    """Names without extension and one-hot columns of 1.0 and 0.0, of the real images; a sample of the same form."""
    data = shared_data / "ham10000"
    rows = pd.read_csv(data / "train.csv").groupby("dx").head(4)
    columns = ["MEL", "NV", "BCC", "AKIEC", "BKL", "DF", "VASC"]
    table = pd.DataFrame({name: (rows.dx.str.upper() == name).astype(float) for name in columns})
    table.insert(0, "image", rows.image.str.removesuffix(".jpg"))
    table.to_csv(project.folder / "ISIC2018_Task3_Training_GroundTruth.csv", index=False)
    tests = pd.read_csv(data / "test.csv").head(5).image.str.removesuffix(".jpg")
    sample = pd.DataFrame({"image": tests, **dict.fromkeys(columns, 0.0)})
    sample.to_csv(project.folder / "sample.csv", index=False)
    found = checked(
        project,
        {
            "data.train": "ISIC2018_Task3_Training_GroundTruth.csv",
            "data.target": columns,
            "data.test": "sample.csv",
            "data.sample_submission": "sample.csv",
            "data.images": str(data / "images"),
        },
    )
    assert found.task.label_names == tuple(sorted(columns))
    labels = [found.task.label_names[code] for code in found.table.targets]
    assert labels == rows.dx.str.upper().tolist()
    assert [path.name for path in found.table.paths] == rows.image.tolist()
    scores = np.random.default_rng(0).dirichlet(np.ones(7), 5)
    frame = submission_frame(found.task, found.config.data, tests.to_numpy(), scores, scores.argmax(1), metric="auroc")
    out = arrange_submission(frame, found.config.data.sample_submission)
    assert out.columns.tolist() == ["image", *columns]
    assert out["image"].tolist() == tests.tolist()
    np.testing.assert_array_equal(out[sorted(columns)], scores)
