"""`data.target_map` and `data.on_missing` wherever labels are read: validate, start, resume, score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldtune.errors import InputError
from foldtune.search.assess.scoring import score_ensemble
from foldtune.search.config.loading import load_config
from foldtune.search.runs.run import new_store, open_run, reopen_labelled, start_run
from foldtune.search.runs.validation import check_run

MAP = {
    "data.target_map": {"c0": "healthy", "c1": "sick", "c2": "sick"},
    "data.positive": "sick",
    "task": "binary",
    "search.metric": None,
}


def start(project: Any, changes: dict[str, Any]) -> Any:
    checked = check_run(load_config(Path(project.config(changes))))
    with new_store(checked.config) as store:
        return start_run(checked, store, 1, None)


def test_mapped_labels_make_another_task_also_when_resumed(project: Any) -> None:
    run, labelled = start(project, MAP)
    assert run.task.label_names == ("healthy", "sick")
    assert np.bincount(labelled.table.targets).tolist() == [8, 16]
    again = open_run("tiny", "runs")
    assert again.config.data.target_map == run.config.data.target_map
    reopened = reopen_labelled(again, 1, None).table
    assert reopened.targets is not None
    assert reopened.targets.tolist() == labelled.table.targets.tolist()


def test_rows_left_out_are_counted_by_validate(project: Any, foldtune: Any) -> None:
    rows = [(name, "" if place == 0 else label) for place, (name, label) in enumerate(project.rows)]
    project.table(rows, "train.csv")
    changes = {"data.on_missing": "skip", "data.target_map": {"c0": "a", "c1": "b", "c2": None}}
    code, out, _ = foldtune("validate", project.config(changes))
    assert code == 0
    assert "9 rows left out: 1 with no label, 8 with label 'c2'" in " ".join(out.split())
    _, labelled = start(project, changes)
    assert len(labelled.table) == len(rows) - 9
    reopened = reopen_labelled(open_run("tiny", "runs"), 1, None)
    assert reopened.table.ids.tolist() == labelled.table.ids.tolist()
    assert rows[0][0] not in reopened.table.ids


def test_without_the_rule_rows_without_a_label_are_an_error(project: Any, foldtune: Any) -> None:
    project.table([(project.rows[0][0], ""), *project.rows[1:]], "train.csv")
    code, _, err = foldtune("validate", project.config())
    assert code == 2
    assert "1 of 24 rows" in err


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"c0": "a", "c11": "b"}, "target_map names 'c11', which no row has; did you mean"),
        ({0: "a", "0": "b"}, "more than once"),
        ({"c0": True}, "quote"),
        ({"c0": ""}, "empty"),
        ([1], "mapping"),
        ({}, "must map"),
    ],
)
def test_a_wrong_map_is_explained(project: Any, foldtune: Any, value: object, words: str) -> None:
    code, _, err = foldtune("validate", project.config({"data.target_map": value}))
    assert code == 2
    assert words in " ".join(err.split())


def test_labels_that_a_map_does_not_name_stay_and_are_listed(project: Any, foldtune: Any) -> None:
    code, out, err = foldtune("validate", project.config({"data.target_map": {"c0": "c1"}}))
    assert code == 0
    assert "column 'label': target_map leaves 2 labels as they are: c1, c2" in " ".join((out + err).split())
    code, out, err = foldtune("validate", project.config({"data.target_map": {"c0": "a", "*": "b"}}))
    assert code == 0
    assert "target_map" not in out + err


def test_numbers_are_labels(project: Any) -> None:
    project.table([(name, label[1:]) for name, label in project.rows], "train.csv")
    run, _ = start(project, {**MAP, "data.target_map": {0: 0, 1: 1, 2: 1}, "data.positive": None})
    assert run.task.label_names == ("0", "1")


def test_scores_are_of_the_rows_that_have_a_label(project: Any) -> None:
    run, _ = start(project, {**MAP, "data.on_missing": "skip"})
    ids = np.array(["a", "b", "c"])
    right, wrong = np.array([0, 1, 1]), np.array([1, 1, 1])
    arrays = {"scores": right * 1.0, "predictions": right, "single_scores": wrong * 1.0, "single_predictions": wrong}
    run.store.ensemble.write_test({"ids": ids, **arrays})
    run.store.ensemble.write({"members": [{"trial_id": "0004"}]})
    labels = project.folder / project.table([("c", "c2"), ("b", ""), ("a", "c0")], "labels.csv")
    figures = score_ensemble(run, labels)
    assert [each["accuracy"] for each in figures.values()] == [1.0, 0.5]
    project.table([("c", "c2"), ("b", "c7"), ("a", "c0")], "labels.csv")
    with pytest.raises(InputError, match="c7"):
        score_ensemble(run, labels)
