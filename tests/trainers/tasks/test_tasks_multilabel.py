from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from foldtune.errors import DataError
from foldtune.trainers.tasks.multilabel import Multilabel

TASK = Multilabel("labels", ("cat", "dog", "owl"))


def test_labels_are_learnt_between_separators_and_empty_cells_have_none(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,labels\na,dog|cat\nb,\nc, owl | cat |\nd,NA\n")
    frame = Multilabel.read_frame(tmp_path / "t.csv")
    task = Multilabel.from_frame(frame, "labels")
    assert task.labels == ("NA", "cat", "dog", "owl")
    assert task.encode(frame).tolist() == [[0, 1, 1, 0], [0, 0, 0, 0], [0, 1, 0, 1], [1, 0, 0, 0]]
    semicolons = Multilabel.from_frame(pd.DataFrame({"y": ["10; 9", "9"]}), "y", label_separator=";")
    assert (semicolons.labels, semicolons.label_separator) == (("9", "10"), ";")


def test_a_table_unfit_for_learning_is_refused_with_the_reason() -> None:
    with pytest.raises(DataError, match="unknown column 'label'; did you mean 'labels'"):
        Multilabel.from_frame(pd.DataFrame({"labels": ["a"]}), "label")
    with pytest.raises(DataError, match="has no label in 2 rows"):
        Multilabel.from_frame(pd.DataFrame({"labels": ["", None]}), "labels")
    with pytest.raises(DataError, match=r"no '\|' in it, but labels like 'a,b'; is data.label_separator ','\?"):
        Multilabel.from_frame(pd.DataFrame({"labels": ["a,b", "b,c", "c", "a,b,c", ""]}), "labels")
    with pytest.raises(TypeError, match="option label_separator"):
        Multilabel.from_frame(pd.DataFrame({"labels": ["a"]}), "labels", positive="a")


def test_one_cell_of_very_many_labels_is_refused_before_there_is_a_column_for_each() -> None:
    slip = "|".join(map(str, range(20_000)))
    frame = pd.DataFrame({"labels": ["a|b", "b", slip] + ["a"] * 50_000})
    with pytest.raises(DataError, match=r"20,002 labels in 50,003 rows take more than 4 GB; data row 3 has 20,000"):
        Multilabel.from_frame(frame, "labels")


def test_commas_within_labels_are_no_separators() -> None:
    frame = pd.DataFrame({"labels": ["eczema, acute", "naevus", "eczema, acute"]})
    assert Multilabel.from_frame(frame, "labels").labels == ("eczema, acute", "naevus")


def test_unknown_labels_are_named_with_their_rows() -> None:
    with pytest.raises(
        DataError, match=r"unknown label 'Cat'; did you mean 'cat'\? valid: .* \(in 2 rows, data rows 2, 4\)"
    ):
        TASK.encode(pd.DataFrame({"labels": ["cat|dog|owl", "dog|Cat", "", "Cat"]}))


def test_counts_strata_and_sampling_classes() -> None:
    targets = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1], [1, 1, 0]])
    assert TASK.class_counts(targets).tolist() == [[1, 4], [3, 2], [4, 1]]
    assert TASK.support(targets) == {"cat": 4, "dog": 2, "owl": 1}
    assert TASK.strata(targets).tolist() == targets.tolist()
    assert TASK.sampling_classes(targets).tolist() == [2, 1, 0, 3, 2]  # the rarest label; 0 is none


def test_thresholds_of_labels_stand_over_the_common_one() -> None:
    scores = np.array([[0.4, 0.4, 0.4]])
    assert TASK.predict(scores).tolist() == [[0, 0, 0]]
    assert TASK.predict(scores, {"threshold": 0.3}).tolist() == [[1, 1, 1]]
    assert TASK.predict(scores, {"threshold": 0.3, "thresholds": {"dog": 0.45}}).tolist() == [[1, 0, 1]]
    assert TASK.predict(scores, {"thresholds": {"dog": 0.4}}).tolist() == [[0, 1, 0]]


def test_all_problems_of_a_postprocessing_are_found() -> None:
    wrong = {"threshold": 2, "treshold": 0.1, "thresholds": {"dgo": 0.5, "cat": -1}}
    problems = {problem.path: problem.message for problem in TASK.check_postprocess(wrong)}
    assert sorted(problems) == [
        "postprocess.threshold",
        "postprocess.thresholds.cat",
        "postprocess.thresholds.dgo",
        "postprocess.treshold",
    ]
    assert "did you mean 'dog'" in problems["postprocess.thresholds.dgo"]
    assert [problem.path for problem in TASK.check_postprocess({"thresholds": 0.3})] == ["postprocess.thresholds"]
    assert TASK.check_postprocess({"threshold": 0.15, "thresholds": {"cat": 1}}) == []


def rare_labels(seed: int, rows: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    targets = (rng.random((rows, 3)) < [0.3, 0.1, 0.05]).astype(np.int64)
    return TASK.scores(rng.normal(size=targets.shape) + 2 * targets - [1, 2.5, 3.5]), targets


@pytest.mark.parametrize("metric", sorted(TASK.tunable_metrics))
def test_fitted_thresholds_beat_a_half(metric: str) -> None:
    scores, targets = rare_labels(0)
    fitted = TASK.fit_postprocess(scores, targets, metric)
    plain = TASK.evaluate(scores, TASK.predict(scores), targets)[metric]
    tuned = TASK.evaluate(scores, TASK.predict(scores, fitted), targets)[metric]
    assert tuned > plain + (0.1 if metric == "macro_f1" else 0.01)
    assert bool(fitted["thresholds"]) == (metric in {"macro_f1", "micro_f1"})


@pytest.mark.parametrize("metric", sorted(TASK.metrics))
@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("value", [0, 1, None], ids=["all negative", "all positive", "mixed"])
def test_a_fit_on_hardly_any_rows_is_valid_and_never_worse(metric: str, rows: int, value: int | None) -> None:
    for seed in range(10):
        scores, targets = rare_labels(seed, rows)
        targets = targets if value is None else np.full_like(targets, value)
        fitted = TASK.fit_postprocess(scores, targets, metric)
        assert TASK.check_postprocess(fitted) == []
        tuned = TASK.evaluate(scores, TASK.predict(scores, fitted), targets)[metric]
        assert tuned >= TASK.evaluate(scores, TASK.predict(scores), targets)[metric]


def test_a_hard_vote_is_taken_label_by_label() -> None:
    members = [np.array([[0.9, 0.6, 0.2]]), np.array([[0.6, 0.3, 0.6]]), np.array([[0.1, 0.3, 0.9]])]
    assert TASK.vote(members, voting="hard")[1].tolist() == [[1, 0, 1]]
    assert TASK.vote(members, voting="hard", min_votes=3)[1].tolist() == [[0, 0, 0]]
    assert TASK.vote(members, voting="hard", min_votes=1)[1].tolist() == [[1, 1, 1]]
    assert TASK.vote(members[:2], voting="hard")[1].tolist() == [[1, 0, 0]]  # means .75, .45, .4
    mean, soft = TASK.vote(members, voting="soft", postprocess={"thresholds": {"dog": 0.3}})
    assert mean == pytest.approx(np.mean(members, axis=0))
    assert soft.tolist() == [[1, 1, 1]]


def test_a_submission_joins_labels_or_gives_a_column_each() -> None:
    predictions, scores = np.array([[1, 0, 1], [0, 0, 0]]), np.array([[0.9, 0.1, 0.8], [0.2, 0.3, 0.1]])
    joined = TASK.submission_frame(["b", "a"], predictions, ["image", "labels"], scores=scores)
    assert joined.to_dict("list") == {"image": ["b", "a"], "labels": ["cat|owl", ""]}
    wide = TASK.submission_frame(["b", "a"], predictions, ["image", "owl", "cat", "dog"], scores=scores)
    assert wide.columns.tolist() == ["image", "owl", "cat", "dog"]
    assert wide["owl"].tolist() == [0.8, 0.1]
    assert TASK.submission_frame(["b"], predictions[:1], ["image", "owl", "cat", "dog"])["dog"].tolist() == [0]
    with pytest.raises(DataError, match="image, owl, cat: multilabel fills"):
        TASK.submission_frame(["b"], predictions[:1], ["image", "owl", "cat"])


def test_a_submission_of_one_label_s_probability() -> None:
    task = Multilabel("labels", ("cat",))
    frame = task.submission_frame(["a"], np.array([[1]]), ["image", "cat"], scores=np.array([[0.7]]))
    assert frame["cat"].tolist() == [0.7]


def test_a_submission_can_be_read_back(tmp_path: Path) -> None:
    predictions = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    TASK.submission_frame(list("abc"), predictions, ["image", "labels"]).to_csv(tmp_path / "s.csv", index=False)
    assert TASK.encode(TASK.read_frame(tmp_path / "s.csv")).tolist() == predictions.tolist()


def test_predictions_can_be_read() -> None:
    predictions, scores = np.array([[1, 0, 1], [0, 0, 0]]), np.array([[0.9, 0.1, 0.8], [0.2, 0.3, 0.1]])
    frame = TASK.prediction_frame(scores, predictions)
    assert frame["label"].tolist() == ["cat|owl", ""]
    assert frame["score"].tolist() == pytest.approx([0.8, 0.7])
    assert frame["score_dog"].tolist() == [0.1, 0.3]


def test_figures_of_each_label_are_scikit_learn_s() -> None:
    scores, targets = rare_labels(1, 60)
    predictions = TASK.predict(scores, {"threshold": 0.2})
    rows = TASK.per_class(predictions, targets)
    assert [row["f1"] for row in rows] == pytest.approx(f1_score(targets, predictions, average=None))
    assert [row["support"] for row in rows] == targets.sum(axis=0).tolist()
