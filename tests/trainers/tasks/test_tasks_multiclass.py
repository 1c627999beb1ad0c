from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from foldtune.errors import DataError, SettingsError
from foldtune.trainers.tasks import get_task, task_from_dict
from foldtune.trainers.tasks.multiclass import Multiclass

TASK = Multiclass("dx", ("bkl", "mel", "nv"), (20, 10, 70))


def scores_of(*rows: list[float]) -> np.ndarray:
    return np.array(rows)


def test_classes_are_learnt_sorted_with_their_counts() -> None:
    task = Multiclass.from_frame(pd.DataFrame({"dx": ["nv", "mel", " nv ", "bkl"]}), "dx")
    assert (task.labels, task.counts) == (("bkl", "mel", "nv"), (1, 1, 2))
    assert task.head_size == 3


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["10", "9", "2"], ("2", "9", "10")),
        ([10, 9, 2], ("2", "9", "10")),
        (["1.5", "-1", "1"], ("-1", "1", "1.5")),
        (["10", "9", "b"], ("10", "9", "b")),
        (["10", "9", "nan"], ("10", "9", "nan")),
    ],
)
def test_numbers_sort_as_numbers(labels: list, expected: tuple[str, ...]) -> None:
    assert Multiclass.from_frame(pd.DataFrame({"y": labels}), "y").labels == expected


def test_only_an_empty_cell_is_missing(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeffimage,dx\na.png,NA\nb.png,None\nc.png,01\n".encode())
    frame = Multiclass.read_frame(tmp_path / "t.csv")
    assert list(frame.columns) == ["image", "dx"]
    assert Multiclass.from_frame(frame, "dx").labels == ("01", "NA", "None")


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2,3\n4\n5,6,7,8\n", b"a,b\n\xff\xfe,1\n"])
def test_an_unreadable_table_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"t\.csv: cannot be read as a CSV"):
        Multiclass.read_frame(tmp_path / "t.csv")
    with pytest.raises(DataError, match="no such file"):
        Multiclass.read_frame(tmp_path / "absent.csv")


def test_a_table_unfit_for_learning_is_refused_with_the_reason() -> None:
    with pytest.raises(DataError, match="unknown column 'dxx'; did you mean 'dx'"):
        Multiclass.from_frame(pd.DataFrame({"dx": ["a", "b"]}), "dxx")
    with pytest.raises(DataError, match=r"'dx' is empty in 2 of 4 rows \(data rows 2, 4\)"):
        Multiclass.from_frame(pd.DataFrame({"dx": ["a", None, "b", " "]}), "dx")
    with pytest.raises(DataError, match="only the label 'a'"):
        Multiclass.from_frame(pd.DataFrame({"dx": ["a", "a"]}), "dx")
    with pytest.raises(DataError, match="no rows"):
        Multiclass.from_frame(pd.DataFrame({"dx": []}), "dx")


def test_unknown_labels_are_all_named_with_the_nearest() -> None:
    with pytest.raises(DataError) as caught:
        TASK.encode(pd.DataFrame({"dx": ["nv", "mle", "NV", "mle"]}), "test.csv")
    first, second = sorted(caught.value.problems, reverse=True)
    assert "test.csv: column 'dx'" in first
    assert "did you mean 'mel'" in first
    assert "in 2 rows, data rows 2, 4" in first
    assert "did you mean 'nv'" in second


def test_scores_are_stable_softmax_in_float64() -> None:
    logits = np.array([[1e4, 0, -1e4], [-3e4, -3e4, -3e4]], dtype=np.float32)
    scores = TASK.scores(logits)
    assert scores.dtype == np.float64
    assert scores == pytest.approx(np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]]))


def test_ties_go_to_the_lower_class() -> None:
    scores = scores_of([0.4, 0.4, 0.2], [0.2, 0.4, 0.4])
    assert TASK.predict(scores).tolist() == [0, 1]
    assert TASK.predict(scores, TASK.default_postprocess()).tolist() == [0, 1]


def test_offsets_and_the_power_of_the_prior_move_decisions() -> None:
    scores = scores_of([0.2, 0.3, 0.5])
    assert TASK.predict(scores).tolist() == [2]
    assert TASK.predict(scores, {"offsets": {"mel": 0.6}}).tolist() == [1]
    assert TASK.predict(scores, {"offsets": {"mel": 0.5}}).tolist() == [2]  # log(.5/.3) = .511
    adjusted = np.log([0.2, 0.3, 0.5]) - 0.5 * np.log([0.2, 0.1, 0.7])
    assert TASK.predict(scores, {"prior_power": 0.5}).tolist() == [adjusted.argmax()] == [1]


def test_offsets_of_numeric_labels_may_come_as_numbers_from_yaml() -> None:
    task = Multiclass("y", ("0", "1"), (5, 5))
    assert task.check_postprocess({"offsets": {1: 2.0}}) == []
    assert task.predict(scores_of([0.6, 0.4]), {"offsets": {1: 2.0}}).tolist() == [1]


@pytest.mark.parametrize("power", [-0.1, 5.1, float("inf"), "1", True, None])
def test_the_power_of_the_prior_has_bounds(power: object) -> None:
    assert [p.path for p in TASK.check_postprocess({"prior_power": power})] == ["postprocess.prior_power"]


def test_all_problems_of_a_postprocessing_are_found() -> None:
    wrong = {"prior_power": -1, "ofsets": {}, "offsets": {"mle": 1.0, "nv": float("nan"), "bkl": True}}
    problems = {problem.path: problem.message for problem in TASK.check_postprocess(wrong)}
    assert sorted(problems) == [
        "postprocess.offsets.bkl",
        "postprocess.offsets.mle",
        "postprocess.offsets.nv",
        "postprocess.ofsets",
        "postprocess.prior_power",
    ]
    assert "did you mean 'offsets'" in problems["postprocess.ofsets"]
    assert "did you mean 'mel'" in problems["postprocess.offsets.mle"]
    assert TASK.check_postprocess({"prior_power": 1, "offsets": {"nv": -2}}) == []
    assert [problem.path for problem in TASK.check_postprocess({"offsets": 3})] == ["postprocess.offsets"]


def test_a_fit_finds_the_rare_class() -> None:
    rng = np.random.default_rng(0)
    targets = rng.choice(3, 400, p=[0.2, 0.1, 0.7])
    logits = rng.normal(size=(400, 3)) + np.log([0.2, 0.1, 0.7]) + 1.5 * np.eye(3)[targets]
    scores = TASK.scores(logits.astype(np.float32))
    fitted = TASK.fit_postprocess(scores, targets, "balanced_accuracy")
    assert TASK.check_postprocess(fitted) == []
    assert fitted["offsets"]["mel"] > fitted["offsets"]["bkl"] > fitted["offsets"]["nv"]
    value = TASK.evaluate(scores, TASK.predict(scores, fitted), targets)["balanced_accuracy"]
    assert value > TASK.evaluate(scores, TASK.predict(scores), targets)["balanced_accuracy"] + 0.05


@pytest.mark.filterwarnings("error")
def test_evaluation_with_absent_classes_is_finite_and_silent() -> None:
    scores = scores_of([0.2, 0.3, 0.5])
    values = TASK.evaluate(scores, TASK.predict(scores), np.array([0]))
    assert list(values) == list(TASK.metrics)
    assert all(np.isfinite(value) for value in values.values())
    assert values["loss"] == pytest.approx(-np.log(0.2))


def test_a_hard_vote_takes_each_member_with_its_own_postprocessing() -> None:
    members = np.array([[[0.1, 0.4, 0.5]], [[0.1, 0.4, 0.5]], [[0.1, 0.2, 0.7]]])
    assert TASK.vote(members, voting="hard")[1].tolist() == [2]
    assert TASK.vote(members, voting="hard", postprocess={"offsets": {"mel": 0.5}})[1].tolist() == [1]
    own = [np.array([1]), np.array([1]), np.array([2])]
    mean, predictions = TASK.vote(members, own, voting="hard", min_votes=2)
    assert predictions.tolist() == [1]
    assert mean == pytest.approx(members.mean(axis=0))
    assert TASK.vote(members, own, voting="hard", min_votes=3)[1].tolist() == [2]
    soft = {"offsets": {"mel": 0.6}}  # log(.567/.333) = .53
    assert TASK.vote(members, own, voting="hard", min_votes=3, postprocess=soft)[1].tolist() == [1]


def test_a_submission_takes_the_form_of_its_columns() -> None:
    frame = TASK.submission_frame(["b", "a"], np.array([2, 0]), ["image", "diagnosis"])
    assert frame.to_dict("list") == {"image": ["b", "a"], "diagnosis": ["nv", "bkl"]}
    scores = scores_of([0.1, 0.2, 0.7], [0.6, 0.3, 0.1])
    columns = ["image", "nv", "bkl", "mel"]
    wide = TASK.submission_frame(["b", "a"], np.array([2, 0]), columns, scores=scores)
    assert wide.columns.tolist() == columns
    assert wide["nv"].tolist() == [0.7, 0.1]
    one_hot = TASK.submission_frame(["b", "a"], np.array([2, 0]), columns)
    assert one_hot["nv"].tolist() == [1, 0]
    with pytest.raises(DataError, match="image, nv, bkl: multiclass fills"):
        TASK.submission_frame(["b"], np.array([2]), ["image", "nv", "bkl"])


def test_predictions_can_be_read() -> None:
    scores = scores_of([0.1, 0.2, 0.7], [0.4, 0.35, 0.25])
    frame = TASK.prediction_frame(scores, np.array([2, 1]))  # the second not the likeliest: post-processed
    assert frame["label"].tolist() == ["nv", "mel"]
    assert frame["score"].tolist() == [0.7, 0.35]
    assert frame["score_bkl"].tolist() == [0.1, 0.4]


def test_figures_of_each_class() -> None:
    rows = TASK.per_class(np.array([2, 2, 1, 2]), np.array([2, 1, 1, 2]))
    assert [row["label"] for row in rows] == ["bkl", "mel", "nv"]
    assert rows[0] == {"label": "bkl", "precision": 0, "recall": 0, "f1": 0, "support": 0}
    assert rows[1] == {
        "label": "mel",
        "precision": 1,
        "recall": 0.5,
        "f1": pytest.approx(2 / 3),
        "support": 2,
    }


def test_a_task_survives_json_and_pickle() -> None:
    assert task_from_dict(json.loads(json.dumps(TASK.to_dict()))) == TASK
    assert pickle.loads(pickle.dumps(TASK)) == TASK


def test_what_is_no_task_is_refused() -> None:
    with pytest.raises(SettingsError, match="unknown task 'multclass'; did you mean 'multiclass'"):
        get_task("multclass")
    with pytest.raises(DataError, match="no key 'task'"):
        task_from_dict({})
    with pytest.raises(DataError, match="no labels, counts"):
        task_from_dict({"task": "multiclass", "target": "dx"})
    with pytest.raises(SettingsError, match="did you mean 'macro_f1'"):
        TASK.mode("macrof1")


def test_tasks_do_not_import_torch() -> None:
    imports = "foldtune.trainers.tasks, foldtune.trainers.arrays.voting, foldtune.trainers.tasks.crossfit"
    code = f"import sys, {imports}; print('torch' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_the_classes_of_a_real_table(shared_data: Path) -> None:
    path = shared_data / "ham10000" / "train.csv"
    frame = Multiclass.read_frame(path)
    task = Multiclass.from_frame(frame, "dx")
    targets = task.encode(frame, path)
    expected = frame["dx"].value_counts()
    assert task.support(targets) == {label: int(expected[label]) for label in sorted(expected.index)}
    assert len(task.labels) == 7
    with pytest.raises(DataError, match="column 'sex' is empty"):
        Multiclass.from_frame(frame, "sex")


def test_one_very_long_label_does_not_lengthen_all() -> None:
    rows = 20_000
    frame = pd.DataFrame({"label": [f"c{row % 3}" for row in range(rows)]})
    frame.loc[5, "label"] = "x" * 3000
    tracemalloc.start()
    task = Multiclass.from_frame(frame, "label")
    assert len(np.unique(task.encode(frame))) == 4
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < rows * 500, "an array of fixed width takes 12,000 bytes a row"
