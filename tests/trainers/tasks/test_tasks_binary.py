from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    log_loss,
    precision_score,
    recall_score,
    roc_auc_score,
)

from foldtune.errors import DataError, SettingsError
from foldtune.trainers.tasks.binary import Binary

TASK = Binary("dx", ("benign", "malignant"))


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["1", "0", "1"], ("0", "1")),
        (["0.0", "1.0", "1.0"], ("0.0", "1.0")),
        (["yes", "no", "yes"], ("no", "yes")),
        (["False", "True", "True"], ("False", "True")),
        (["NEGATIVE", "positive", "positive"], ("NEGATIVE", "positive")),
        (["cancer", "normal", "normal"], ("normal", "cancer")),
        (["cancer", "normal", "cancer"], ("cancer", "normal")),
        (["b", "a", "a", "b"], ("a", "b")),
    ],
)
def test_positive_is_the_known_label_or_the_rarer_one(labels: list[str], expected: tuple[str, str]) -> None:
    assert Binary.from_frame(pd.DataFrame({"y": labels}), "y").labels == expected


def test_one_column_takes_labels() -> None:
    task, scores = Binary("y", ("0", "1")), np.array([0.2, 0.7])
    labels = task.submission_frame(["a", "b"], task.predict(scores), ["id", "y"], scores=scores)
    assert labels["y"].tolist() == ["0", "1"]


def test_of_two_labels_the_larger_is_positive_unless_another_is_named() -> None:
    frame = pd.DataFrame({"y": ["9", "10", "9"]})
    assert Binary.from_frame(frame, "y").labels == ("9", "10")
    assert Binary.from_frame(frame, "y", positive=9).labels == ("10", "9")
    assert Binary.from_frame(frame, "y", positive=None).labels == ("9", "10")
    assert Binary.from_frame(frame, "y", positive="9").encode(frame).tolist() == [1, 0, 1]
    assert Binary.from_frame(frame, "y").head_size == 1


def test_a_table_that_is_not_binary_is_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match=r"has 3 labels \(a, b, c\); binary needs exactly two; use the task multiclass"):
        Binary.from_frame(pd.DataFrame({"y": ["a", "b", "c"]}), "y")
    with pytest.raises(DataError, match=r"has 1 labels \(a\)"):
        Binary.from_frame(pd.DataFrame({"y": ["a", "a"]}), "y")
    with pytest.raises(DataError, match="positive: unknown label 'malignent'; did you mean 'malignant'"):
        Binary.from_frame(pd.DataFrame({"y": ["benign", "malignant"]}), "y", positive="malignent")
    with pytest.raises(DataError, match="unknown label 'malignat'; did you mean 'malignant'"):
        TASK.encode(pd.DataFrame({"dx": ["malignat"]}))
    with pytest.raises(TypeError, match="option positive"):
        Binary.from_frame(pd.DataFrame({"y": ["a", "b"]}), "y", label_separator="|")


def test_scores_are_one_number_a_row_stable_in_float64() -> None:
    scores = TASK.scores(np.array([[0.0], [100.0], [-1e4]], dtype=np.float32))
    assert scores.dtype == np.float64
    assert scores.tolist() == [0.5, 1.0, 0.0]
    assert TASK.predict(scores).tolist() == [1, 1, 0]


@pytest.mark.filterwarnings("error")
def test_metrics_are_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    targets, scores = (rng.random(80) < 0.3).astype(np.int64), rng.integers(1, 20, 80) / 20
    on = TASK.predict(scores)
    assert TASK.evaluate(scores, on, targets) == pytest.approx(
        {
            "accuracy": accuracy_score(targets, on),
            "balanced_accuracy": balanced_accuracy_score(targets, on),
            "f1": f1_score(targets, on),
            "macro_f1": f1_score(targets, on, average="macro"),
            "precision": precision_score(targets, on),
            "sensitivity": recall_score(targets, on),
            "specificity": recall_score(targets, on, pos_label=0),
            "auroc": roc_auc_score(targets, scores),
            "map": average_precision_score(targets, scores),
            "loss": log_loss(targets, scores),
        }
    )


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("label", [0, 1])
def test_rows_of_one_label_have_finite_metrics(label: int) -> None:
    scores, targets = np.array([0.2, 0.9]), np.array([label, label])
    values = TASK.evaluate(scores, TASK.predict(scores), targets)
    assert all(np.isfinite(value) for value in values.values())
    assert (values["auroc"], values["balanced_accuracy"]) == (0.5, 0.5)
    assert values["map"] == label


def test_the_default_metric_gives_nothing_for_an_answer_that_is_always_the_same() -> None:
    scores, targets = np.full(10, 0.9), np.array([1] * 8 + [0] * 2)
    values = TASK.evaluate(scores, TASK.predict(scores), targets)
    assert values[TASK.default_metric] == 0.5
    assert values["f1"] > 0.88


def test_a_threshold_is_fitted_exactly() -> None:
    scores = np.array([0.95, 0.9, 0.8, 0.8, 0.7, 0.6, 0.55, 0.4, 0.3, 0.2, 0.1, 0.05])
    targets = np.array([1, 1, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0])
    for metric, value in {"f1": 8 / 11, "accuracy": 0.75, "balanced_accuracy": 0.757143}.items():
        fitted = TASK.fit_postprocess(scores, targets, metric)
        assert fitted == {"threshold": pytest.approx(0.575)}
        assert TASK.evaluate(scores, TASK.predict(scores, fitted), targets)[metric] == pytest.approx(value, abs=1e-6)
    assert TASK.fit_postprocess(scores, targets, "sensitivity") == {"threshold": 0.5}
    with pytest.raises(SettingsError, match="did you mean 'macro_f1'"):
        TASK.fit_postprocess(scores, targets, "macrof1")


def test_a_hard_vote_needs_more_than_half_and_the_mean_settles_halves() -> None:
    members = [np.array([0.6, 0.6, 0.9]), np.array([0.1, 0.45, 0.8])]
    mean, predictions = TASK.vote(members, voting="hard")
    assert mean == pytest.approx([0.35, 0.525, 0.85])
    assert predictions.tolist() == [0, 1, 1]
    assert TASK.vote(members, voting="hard", min_votes=1)[1].tolist() == [1, 1, 1]
    assert TASK.vote(members, voting="hard", min_votes=2)[1].tolist() == [0, 0, 1]
    assert TASK.vote(members, voting="soft", postprocess={"threshold": 0.3})[1].tolist() == [1, 1, 1]
    weighted = TASK.vote(members, voting="weighted", weights=[3, 1])
    assert weighted[0][0] == pytest.approx(0.475)
    own = [np.array([0, 0, 0]), np.array([0, 0, 1])]  # each member with a threshold of its own
    assert TASK.vote(members, own, voting="hard", min_votes=1)[1].tolist() == [0, 0, 1]


def test_a_submission_takes_the_form_of_its_columns() -> None:
    scores, predictions = np.array([0.2, 0.7]), np.array([0, 1])
    labels = TASK.submission_frame(["b", "a"], predictions, ["image", "label"], scores=scores)
    assert labels.to_dict("list") == {"image": ["b", "a"], "label": ["benign", "malignant"]}
    both = TASK.submission_frame(["b", "a"], predictions, ["image", "malignant", "benign"], scores=scores)
    assert both.columns.tolist() == ["image", "malignant", "benign"]
    assert both["benign"].tolist() == pytest.approx([0.8, 0.3])
    one = TASK.submission_frame(["b", "a"], predictions, ["image", "malignant"], scores=scores)
    assert one["malignant"].tolist() == [0.2, 0.7]
    with pytest.raises(DataError, match="image, x, y: binary fills"):
        TASK.submission_frame(["b", "a"], predictions, ["image", "x", "y"])


def test_a_target_named_like_its_positive_label_is_filled_with_labels() -> None:
    task = Binary("malignant", ("0", "malignant"))
    frame = task.submission_frame(["a"], np.array([1]), ["image", "malignant"], scores=np.array([0.7]))
    assert frame["malignant"].tolist() == ["malignant"]


def test_predictions_can_be_read() -> None:
    scores, predictions = np.array([0.2, 0.4]), np.array([0, 1])
    assert TASK.prediction_frame(scores, predictions).to_dict("list") == {
        "label": ["benign", "malignant"],
        "score": [0.8, 0.4],
        "score_benign": [0.8, 0.6],
        "score_malignant": [0.2, 0.4],
    }
    rows = TASK.per_class(np.array([0, 1, 1, 0]), np.array([0, 1, 0, 0]))
    assert rows[0] == {"label": "benign", "precision": 1.0, "recall": 2 / 3, "f1": 0.8, "support": 3}
    assert rows[1] == {"label": "malignant", "precision": 0.5, "recall": 1.0, "f1": 2 / 3, "support": 1}


def test_a_stored_task_is_complete() -> None:
    with pytest.raises(DataError, match="no target, labels"):
        Binary.from_dict({"task": "binary"})
