"""Weights of labels as soft targets, from the table through the commands to a stored run."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldtune.search.config.loading import load_config
from foldtune.search.runs.run import new_store, open_run, reopen_labelled, start_run
from foldtune.search.runs.validation import Checked, check_run
from foldtune.trainers.tasks.soft import SoftMulticlass, SoftMultilabel

MULTILABEL = {"task": "multilabel", "search.metric": "macro_f1"}


def write(project: Any, cells: Sequence[str]) -> None:
    with open(project.folder / "train.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "label"), *zip([name for name, _ in project.rows], cells, strict=True)])


def weights(project: Any) -> list[str]:
    """Most of each row's weight on its own class."""
    return [str({label: 0.75, "c0" if label == "c2" else "c2": 0.25}) for _, label in project.rows]


def valid(foldtune: Any, path: str) -> str:
    code, out, err = foldtune("validate", path)
    assert code == 0, err
    return " ".join(out.split())


def refusal(foldtune: Any, path: str) -> str:
    code, _, err = foldtune("validate", path)
    assert code == 2
    assert len(err) < 1500
    return " ".join(err.split())


def test_weights_are_soft_targets_of_classes(project: Any, foldtune: Any) -> None:
    write(project, weights(project))
    out = valid(foldtune, project.config())
    assert "losses take them as soft targets, folds and metrics the likeliest label" in out


def test_the_mapping_that_is_advised_leaves_the_rare_class_out(project: Any, foldtune: Any) -> None:
    """Rows of any weight, which `data.min_rows` counts, are more than those of the likeliest label."""
    cells = weights(project)
    cells[0], cells[1], cells[2] = (
        str({"rare": 0.6, "c0": 0.4}),
        str({"c1": 0.6, "rare": 0.4}),
        str({"c2": 1, "rare": 0}),
    )
    write(project, cells)
    out = refusal(foldtune, project.config({"data.min_rows": 2}))
    assert "1 class has fewer rows than the 2 folds: rare (1)" in out
    (advised,) = re.findall(r"data\.target_map: (\{.*?\})", out)
    valid(foldtune, project.config({"data.target_map": json.loads(advised)}))


def test_a_stored_run_of_weights_is_opened_as_it_was(project: Any) -> None:
    write(project, weights(project))
    checked = check_run(load_config(Path(project.config())))
    with new_store(checked.config) as store:
        run, labelled = start_run(checked, store, 1, None)
    again = open_run("tiny", "runs")
    assert again.task == run.task
    assert isinstance(again.task, SoftMulticlass)
    reopened = reopen_labelled(again, 1, None)
    assert np.array_equal(reopened.table.targets, labelled.table.targets)
    assert reopened.folds.tolist() == labelled.folds.tolist()
    assert reopened.digest == labelled.digest
    project.table(project.rows, "train.csv")
    hard = check_run(load_config(Path(project.config({"name": "hard"}))))
    assert hard.folds.tolist() == labelled.folds.tolist()


def test_weights_of_several_labels_and_unknown_ones(project: Any, foldtune: Any) -> None:
    cells = [cell.replace("'c2': 0.25", "'c2': None") for cell in weights(project)]
    write(project, cells)
    out = valid(foldtune, project.config({**MULTILABEL, "data.soft_threshold": 0.7}))
    assert "at least 0.7 (data.soft_threshold)" in out
    assert "16 of 72 cells are unknown; they are left out of loss, counts, metrics and thresholds" in out
    code, _, err = foldtune("preview", project.config(MULTILABEL), "-o", "sheet.png")
    assert code == 0, err


def test_another_unknown_cell_is_another_label(project: Any) -> None:
    digests = []
    for unknown in ("c0", "c2"):
        cells = [str({"c0": 1, "c1": 1, "c2": 1, unknown: None}) for _ in project.rows]
        cells[:4] = [str({"c0": 1, "c2": 1})] * 4
        write(project, cells)
        checked = check_run(load_config(Path(project.config({**MULTILABEL, "name": f"without_{unknown}"}))))
        with new_store(checked.config) as store:
            digests.append(start_run(checked, store, 1, None)[1].digest)
    assert digests[0] != digests[1]


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("{'c0': 0.75, 'c1': 1.25}", "data rows 3: weight 1.25 of label 'c1' is no probability"),
        ("{'c0': 0.75", "is no mapping of labels to weights, such as {'a': 0.4, 'b': 0.6}"),
        ("{'c0': open('x', 'w')}", "is no mapping of labels to weights"),
        ("c0", "data rows 3: 'c0' is no mapping of labels to weights"),
        ("", "no label of a weight over 0 in 1 of 24 rows (data rows 3)"),
    ],
)
def test_a_bad_cell_is_refused_with_its_row(project: Any, foldtune: Any, cell: str, words: str) -> None:
    cells = weights(project)
    cells[2] = cell
    write(project, cells)
    assert words in refusal(foldtune, project.config())
    assert not (project.folder / "x").exists()


def test_a_row_without_weights_is_left_out_where_asked_for(project: Any, foldtune: Any) -> None:
    cells = weights(project)
    cells[2] = "{}"
    write(project, cells)
    assert "1 row left out: 1 with no label" in valid(foldtune, project.config({"data.on_missing": "skip"}))


def test_other_tasks_refuse_weights_in_a_line(project: Any, foldtune: Any) -> None:
    write(project, weights(project))
    error = refusal(foldtune, project.config({"task": "ordinal", "search.metric": "qwk"}))
    assert "holds weights of labels, which the tasks multiclass and multilabel take, not ordinal" in error


def test_a_threshold_without_weights_is_refused(project: Any, foldtune: Any) -> None:
    error = refusal(foldtune, project.config({**MULTILABEL, "data.soft_threshold": 0.3}))
    assert "data.soft_threshold" in error


COLUMNS = ["c0", "c1", "c2"]
HOT = {"data.target": COLUMNS}


def columns(project: Any, cells: np.ndarray) -> None:
    """Write a column a label; NaN is a blank cell."""
    table = pd.DataFrame(cells, columns=COLUMNS)
    table.insert(0, "image", [name for name, _ in project.rows])
    table.to_csv(project.folder / "train.csv", index=False)


def hot(project: Any) -> np.ndarray:
    return np.array([[float(label == name) for name in COLUMNS] for _, label in project.rows])


def read(project: Any, changes: dict[str, Any]) -> Checked:
    return check_run(load_config(Path(project.config(changes))))


def test_columns_of_fractions_are_soft_targets(project: Any, foldtune: Any) -> None:
    shares = 0.75 * hot(project) + 0.25 * np.roll(hot(project), 1, axis=1)
    columns(project, shares)
    out = valid(foldtune, project.config(HOT))
    assert "the columns of data.target hold fractions in 24 rows" in out
    assert read(project, HOT).table.targets == pytest.approx(shares)
    columns(project, hot(project))
    assert read(project, HOT).table.targets.tolist() == hot(project).argmax(axis=1).tolist()


@pytest.mark.parametrize("rule", ["ignore", "positive", "negative"])
def test_uncertain_cells_follow_the_rule(project: Any, foldtune: Any, rule: str) -> None:
    cells = hot(project)
    cells[[0, 9], [1, 2]], cells[[1, 2], [1, 2]] = -1, np.nan
    columns(project, cells)
    changes = {**MULTILABEL, **HOT, "data.uncertain": rule}
    assert f"data.uncertain: {rule}: 2 cells of -1 and 2 blank ones of 72" in valid(foldtune, project.config(changes))
    checked = read(project, changes)
    unknown = np.where(np.isnan(cells), 0, np.where(cells == -1, float(rule == "positive"), cells))
    if rule == "ignore":
        unknown = np.where(np.isnan(cells) | (cells == -1), np.nan, cells)
    assert np.array_equal(checked.table.targets, unknown, equal_nan=True)
    assert isinstance(checked.task, SoftMultilabel) == (rule == "ignore")
    with new_store(checked.config) as store:
        _, labelled = start_run(checked, store, 1, None)
    again = reopen_labelled(open_run("tiny", "runs"), 1, None)
    assert np.array_equal(again.table.targets, labelled.table.targets, equal_nan=True)


@pytest.mark.parametrize(
    ("changes", "cell", "words"),
    [
        (MULTILABEL, -1.0, "1 of 72 cells are -1 (1 are blank): set data.uncertain; ignore leaves them out"),
        ({**MULTILABEL, "data.uncertain": "ignore"}, 2.0, "column 'c1': 2 is no probability"),
        ({**MULTILABEL, "data.uncertain": "maybe"}, 1.0, "data.uncertain"),
        ({"data.uncertain": "ignore"}, 0.0, "data.uncertain is for labels that are on or off"),
        ({**MULTILABEL, "data.uncertain": "ignore", "data.target": "c1"}, 1.0, "list them in data.target"),
        ({}, 1.25, "is neither 0 nor 1"),
    ],
)
def test_what_columns_cannot_be_is_refused(
    project: Any, foldtune: Any, changes: dict[str, Any], cell: float, words: str
) -> None:
    cells = hot(project)
    cells[2, 1], cells[3, 2] = cell, np.nan
    columns(project, cells)
    assert words in refusal(foldtune, project.config({**HOT, **changes}))


def test_a_misspelt_rule_of_uncertain_cells_is_one_problem(project: Any, foldtune: Any) -> None:
    cells = hot(project)
    cells[2, 1] = -1
    columns(project, cells)
    error = refusal(foldtune, project.config({**HOT, **MULTILABEL, "data.uncertain": "ignor"}))
    assert error.count("data.uncertain") == 1
    assert "data.uncertain: unknown value 'ignor'; did you mean 'ignore'?" in error


def test_several_columns_are_named_by_their_key(project: Any, foldtune: Any) -> None:
    columns(project, 0.5 * hot(project) + 0.25)
    out = valid(foldtune, project.config({**HOT, "data.target": ["c0", "c1", "c2"]}))
    assert "data.target (c0, c1, c2) holds weights: losses take them as soft targets" in out
    assert "column 'c0, c1, c2'" not in out
    error = refusal(foldtune, project.config({**HOT, "data.target": ["c0", "c1", "c2"], "data.target_map": {"C": "c"}}))
    assert "data.target (c0, c1, c2): target_map names 'C'" in error


def test_a_probability_over_1_among_fractions_is_refused(project: Any, foldtune: Any) -> None:
    cells = 0.5 * hot(project) + 0.25
    cells[4, 2] = 1.25
    columns(project, cells)
    error = refusal(foldtune, project.config(HOT))
    assert "column 'c2': 1.25 is no probability, which is 0 to 1 (1 rows, data rows 5)" in error
