"""Cases through `foldtune validate` and what is read for a training and a submission."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldtune.results.records.trials import Scores
from foldtune.search.runs.postprocessing import judged_scores
from foldtune.search.runs.validation import check_file
from foldtune.trainers.fitting.evaluator import Evaluator
from foldtune.trainers.fitting.fit_types import FoldData

Command = Callable[..., tuple[int, str, str]]


def cases_table(project: Any, name: str = "cases.csv") -> pd.DataFrame:
    """Twelve cases of two images of a class, every third with one alone."""
    names = [row[0] for row in project.rows]
    second = ["" if place % 3 == 0 else name for place, name in enumerate(names[1::2])]
    frame = pd.DataFrame(
        {
            "id": [f"k{n}" for n in range(12)],
            "one": names[::2],
            "two": second,
            "label": [r[1] for r in project.rows[::2]],
        }
    )
    frame.to_csv(project.folder / name, index=False)
    return frame


def test_several_images_a_case(project: Any, foldtune: Command) -> None:
    frame = cases_table(project)
    frame[["id"]].assign(label="c0").to_csv(project.folder / "sample.csv", index=False)
    changes = {
        "data.train": "cases.csv",
        "data.test": "cases.csv",
        "data.id": ["one", "two"],
        "data.case": "id",
        "data.sample_submission": "sample.csv",
        "space.postprocess": {"case_reduce": {"choice": ["mean", "max", "noisy_or"]}},
    }
    found = check_file(Path(project.config(changes)))
    table = found.table
    assert table.cases is not None
    assert found.test is not None
    by_hand = [(c, i, label) for c, *images, label in frame.to_numpy() for i in images if i]
    labels = np.asarray(found.task.label_names)[table.targets]
    assert list(zip(table.cases.tolist(), table.ids.tolist(), labels.tolist(), strict=True)) == by_hand
    assert pd.Series(found.folds).groupby(table.cases).nunique().max() == 1
    assert found.test.judged_ids.tolist() == frame.id.tolist()
    code, _, err = foldtune("validate", project.config(changes))
    assert (code, err) == (0, "")


def test_without_a_column_of_cases_the_first_image_names_them(project: Any) -> None:
    frame = cases_table(project)
    found = check_file(Path(project.config({"data.train": "cases.csv", "data.id": ["one", "two"]})))
    assert found.table.judged_ids.tolist() == frame.one.tolist()


BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "column": ({"data.id": ["one", "tow"]}, ["unknown column 'tow'; did you mean"]),
    "twice": ({"data.id": ["one", "one"]}, ["data.id: must be a column, or a list of columns, each once"]),
    "case": ({"data.id": "one", "data.case": "idd"}, ["data.case: unknown column", "'idd'"]),
    "labels": ({"data.id": "one", "data.case": "pair"}, ["column 'pair': 2 cases have several labels (first: 'p"]),
    "reduce": (
        {"data.id": "one", "space.postprocess": {"case_reduce": "max"}},
        ["space.postprocess.case_reduce: there are no cases; name data.case"],
    ),
    "reduction": (
        {"data.id": ["one", "two"], "space.postprocess": {"case_reduce": "maximum"}},
        ["unknown reduction 'maximum'; did you mean 'max'?"],
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_wrong_cases_are_named(project: Any, foldtune: Command, case: str) -> None:
    frame = cases_table(project)
    frame.assign(pair=[f"p{(n + 1) // 2}" for n in range(12)]).to_csv(project.folder / "cases.csv", index=False)
    changes, parts = BAD[case]
    code, _, err = foldtune("validate", project.config({"data.train": "cases.csv", **changes}))
    assert code == 2
    assert [part for part in parts if part not in err] == [], err


def test_a_trial_is_judged_by_cases(project: Any) -> None:
    cases_table(project)
    changes = {"data.train": "cases.csv", "data.id": ["one", "two"], "data.case": "id"}
    found = check_file(Path(project.config(changes)))
    table, task = found.table, found.task
    assert table.targets is not None
    assert table.cases is not None
    rows = np.arange(len(table))
    data = FoldData(None, table.targets, table.ids, rows[:0], rows, table.groups, cases=table.cases)  # type: ignore[arg-type]
    logits = np.random.default_rng(0).normal(size=(len(rows), 3)).astype(np.float32)
    logits += 1.5 * np.eye(3, dtype=np.float32)[table.targets]
    scores = pd.DataFrame(task.scores(logits))
    targets = pd.Series(table.targets).groupby(table.cases, sort=False).first()
    for how in ("mean", "max"):
        of_cases = scores.groupby(table.cases, sort=False).agg(how)
        of_cases = of_cases.div(of_cases.sum(axis=1), axis=0)
        metrics = Evaluator(task, data, "macro_f1", {"case_reduce": how}).metrics(logits, 1)
        by_hand = task.evaluate(of_cases.to_numpy(), of_cases.to_numpy().argmax(axis=1), targets.to_numpy())
        assert metrics == pytest.approx(by_hand)
        judged = judged_scores(task, Scores(table.ids, logits, table.targets, 1, table.cases))
        assert judged.cases is not None
        assert judged.cases.names.tolist() == of_cases.index.tolist()
        assert np.allclose(judged.scores(how), of_cases)
    tuned = Evaluator(task, data, "macro_f1", "tuned")
    assert 0 <= tuned.metrics(logits, 1)["macro_f1"] <= 1


def test_a_doubtful_label_leaves_out_its_whole_case(project: Any, foldtune: Command) -> None:
    """Marks of images, and of tables that name no finding, leave out one image; k2 loses both, k4 and k7 one each."""
    frame = cases_table(project)
    marks = [("x", "doubtful_label", frame.one[2]), ("x", "broken", frame.two[4]), ("", "doubtful_label", frame.one[5])]
    marks += [("x", "near_duplicate", frame.one[7]), ("x", "doubtful_label", frame.one[3])]
    pd.DataFrame(marks, columns=["exclude", "finding", "image"]).to_csv(project.folder / "marks.csv", index=False)
    changes = {"data.train": "cases.csv", "data.id": ["one", "two"], "data.case": "id", "data.exclude": "marks.csv"}
    table = check_file(Path(project.config(changes))).table
    assert table.cases is not None
    left = {name: (table.cases == name).sum() for name in ("k2", "k3", "k4", "k5", "k7")}
    assert left == {"k2": 0, "k3": 0, "k4": 1, "k5": 2, "k7": 1}
    assert table.left_out == {"a mark in data.exclude": 5}
    code, out, err = foldtune("validate", project.config(changes))
    assert (code, err) == (0, "")
    text = " ".join(out.split())
    assert "(5 rows left out: 5 with a mark in data.exclude)" in text
    assert "2 cases of 3 rows left out whole, since a doubtful label is that of its case: k2, k3" in text
    pd.DataFrame(marks, columns=["exclude", "f", "image"]).to_csv(project.folder / "marks.csv", index=False)
    assert check_file(Path(project.config(changes))).table.left_out == {"a mark in data.exclude": 4}
