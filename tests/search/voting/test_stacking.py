"""The stacker: against scikit-learn, never fitted on the rows that it is judged by, whole in JSON, one more vote."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from foldtune.errors import InputError
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.columns import CategoryFeatures, Columns, NumberFeatures
from foldtune.search.voting.combiner import EnsembleCombiner, check_voting, fit_method, methods_for
from foldtune.search.voting.estimate import Member, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.search.voting.stacking import Stacker, _fit, _Settings, fit_stacker
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.judged import MulticlassAsMulticlass
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal
from foldtune.trainers.tasks.soft import SoftMultilabel
from foldtune.trainers.tasks.text_detection import TextDetection

ROWS = 300
TASKS: list[Task] = [
    Binary("y", ("no", "yes")),
    Multiclass("y", ("a", "b", "c"), (1, 1, 1)),
    Ordinal("y", ("0", "1", "2"), (1, 1, 1)),
    Multilabel("y", ("a", "b")),
]


def problem(task: Task, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray, Columns]:
    """Two weak members, targets, and two columns of which the first says much; a tenth of each is missing."""
    rng = np.random.default_rng(seed)
    age = rng.normal(50, 15, ROWS)
    shift = (age - 50) / 8
    if isinstance(task, Multiclass):
        targets = np.digitize(shift + rng.normal(size=ROWS), [-0.7, 0.7])
        truth = np.eye(3)[targets]
    elif isinstance(task, Multilabel):
        targets = (np.stack([shift, -shift], axis=1) + rng.normal(size=(ROWS, 2)) > 0).astype(np.int64)
        truth = targets.astype(float)
    else:
        targets = (shift + rng.normal(size=ROWS) > 0).astype(np.int64)
        truth = targets[:, None].astype(float)
    members = [task.scores(truth + 1.5 * rng.normal(size=truth.shape)) for _ in range(2)]
    sex = rng.choice(["f", "m"], ROWS).astype(object)
    gone = rng.random(ROWS) < 0.1
    return members, targets, Columns({"age": np.where(gone, np.nan, age), "sex": np.where(gone, "", sex)})


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_it_gains_by_a_column_that_says_something(task: Task) -> None:
    members, targets, columns = problem(task)
    stacker, held_out = fit_stacker(Objective(task, "loss", targets), members, columns)
    soft = np.mean(members, axis=0)
    by = [task.evaluate(each, task.predict(each), targets)["loss"] for each in (held_out, soft)]
    assert by[0] < by[1] - 0.05
    again = Stacker.from_dict(json.loads(json.dumps(stacker.to_dict())))
    scores = again.scores(task, members, columns)
    np.testing.assert_array_equal(scores, stacker.scores(task, members, columns))
    assert scores.shape == members[0].shape
    assert stacker.fits(task, 2)
    assert not stacker.fits(task, 3)
    one = again.scores(task, [each[7:8] for each in members], columns.select(slice(7, 8)))
    np.testing.assert_array_equal(one, scores[7:8])
    if isinstance(task, Multiclass):
        np.testing.assert_allclose(scores.sum(axis=1), 1.0)


def test_its_scores_are_those_of_scikit_learn() -> None:
    task = TASKS[1]
    members, targets, columns = problem(task)
    logs = [np.log(each) - np.log(each).mean(axis=1, keepdims=True) for each in members]
    age, sex = columns.values["age"], columns.values["sex"].astype(str)
    known = age[~np.isnan(age)]
    filled = np.where(np.isnan(age), np.median(known), age)
    bends = [np.maximum(filled - each, 0) for each in np.quantile(known, [0.25, 0.5, 0.75])]
    beside = np.stack([filled, *bends, np.isnan(age), *(sex == level for level in ("", "f", "m"))], axis=1)
    inputs = StandardScaler().fit_transform(np.concatenate([*logs, beside.astype(float)], axis=1))
    model = LogisticRegression(C=0.03, max_iter=300).fit(inputs, targets)
    found = _fit(task, members, columns, targets, _Settings(0.03)).scores(task, members, columns)
    np.testing.assert_allclose(found, model.predict_proba(inputs), atol=1e-6)
    assert log_loss(targets, found) < log_loss(targets, np.mean(members, axis=0))


def test_without_columns_all_of_them_are_missing() -> None:
    task = TASKS[0]
    members, targets, columns = problem(task)
    stacker, _ = fit_stacker(Objective(task, "loss", targets), members, columns)
    missing = Columns({"age": np.full(ROWS, np.nan), "sex": np.full(ROWS, "", dtype=object)})
    np.testing.assert_array_equal(stacker.scores(task, members, None), stacker.scores(task, members, missing))
    strange = Columns({"age": columns.values["age"], "sex": np.full(ROWS, "never seen", dtype=object)})
    assert np.isfinite(stacker.scores(task, members, strange)).all()


def test_a_class_that_the_fit_does_not_have_is_never_likely() -> None:
    task = Multiclass("y", ("a", "b", "c"), (1, 1, 1))
    members, targets, columns = problem(task)
    for present in ([0, 2], [1]):
        rows = np.isin(targets, present)
        own = [each[rows] for each in members]
        fitted = _fit(task, own, columns.select(rows), targets[rows], _Settings(0.03))
        scores = fitted.scores(task, members, columns)
        assert scores[:, np.setdiff1d(range(3), present)].max() < 1e-3
    labels = Multilabel("y", ("a", "b"))
    scores, targets, columns = problem(labels)
    targets[:, 1] = 0
    assert _fit(labels, scores, columns, targets, _Settings(0.03)).scores(labels, scores, columns)[:, 1].max() < 1e-3


def test_scores_of_judged_classes_are_stacked() -> None:
    frame = pd.DataFrame({"y": ["a", "b", "c", "d"] * (ROWS // 4)})
    task = MulticlassAsMulticlass.from_frame(frame, "y", judge_map={"a": "x", "b": "x", "c": "y", "d": "z"})
    rng = np.random.default_rng(0)
    fine = task.encode(frame)
    members = [task.scores(rng.normal(size=(ROWS, 4)))]
    columns = Columns({"hint": fine + rng.normal(size=ROWS)})
    stacker, held_out = fit_stacker(Objective(task, "loss", fine), members, columns)
    assert stacker.fits(task, 1)
    assert held_out.shape == (ROWS, 3)
    assert task.metric_value("loss", held_out, task.predict(held_out), fine) < 1.0


def test_unknown_cells_of_labels_are_no_rows_of_the_regression() -> None:
    task = SoftMultilabel("y", ("a", "b"))
    scores, hard, columns = problem(TASKS[3])
    targets = hard.astype(np.float32)
    targets[:100, 0] = np.nan
    fitted = _fit(task, scores, columns, targets, _Settings(0.03))
    by_hand = _fit(TASKS[3], scores, columns, hard, _Settings(0.03))
    np.testing.assert_allclose(fitted.coefficients[1], by_hand.coefficients[1])
    assert not np.allclose(fitted.coefficients[0], by_hand.coefficients[0])
    targets[:, 0] = np.nan
    assert _fit(task, scores, columns, targets, _Settings(0.03)).scores(task, scores, columns)[:, 0].max() < 1e-3


def test_it_is_one_more_candidate_of_auto_and_cross_fitted_like_the_others() -> None:
    task = TASKS[1]
    scores, targets, columns = problem(task)
    members = [Member(str(place), each, ()) for place, each in enumerate(scores)]
    folds, groups = np.arange(ROWS) % 3, np.arange(ROWS) // 2
    given: dict[str, Any] = {"voting": "auto", "bootstrap": Bootstrap(groups, samples=0)}
    objective = Objective(task, "accuracy", targets)
    judged = estimate(objective, members, folds, columns=columns, **given)
    assert judged.combiner.voting == "stack"
    assert list(judged.compared)[-1] == "stack"
    assert judged.metrics["accuracy"] > judged.compared["soft"] + 0.03
    assert "stack" not in estimate(objective, members, folds, **given).compared
    stored = EnsembleCombiner.from_dict({**json.loads(json.dumps(judged.combiner.to_dict())), "members": members})
    for one, other in zip(
        stored.apply(task, scores, columns), judged.combiner.apply(task, scores, columns), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_no_row_is_judged_by_a_stacker_that_saw_its_label_or_its_columns() -> None:
    task = TASKS[0]
    scores, targets, columns = problem(task)
    folds = np.arange(ROWS) % 3

    def judged(targets: np.ndarray) -> np.ndarray:
        objective = Objective(task, "accuracy", targets)
        members = [Member(str(place), each, ()) for place, each in enumerate(scores)]
        return estimate(
            objective, members, folds, voting="stack", columns=columns, bootstrap=Bootstrap(samples=0)
        ).scores

    before, changed = judged(targets), np.where(folds == 0, 1 - targets, targets)
    after = judged(changed)
    np.testing.assert_array_equal(before[folds == 0], after[folds == 0])
    assert (before[folds == 1] != after[folds == 1]).any()


def test_beyond_the_numbers_of_training_nothing_is_extrapolated() -> None:
    task = TASKS[0]
    members, targets, columns = problem(task)
    fitted, _ = fit_stacker(Objective(task, "loss", targets), members, columns)
    stacker = Stacker.from_dict(json.loads(json.dumps(fitted.to_dict())))
    age = columns.values["age"]
    ends = [np.nanmin(age), np.nanmax(age)]
    at, beyond = (
        stacker.scores(
            task, [each[:2] for each in members], Columns({"age": np.array(ages), "sex": np.array(["f"] * 2)})
        )
        for ages in (ends, [-1e9, 1e9])
    )
    np.testing.assert_array_equal(at, beyond)
    stored = fitted.to_dict()
    del stored["columns"][0]["low"], stored["columns"][0]["high"]
    before = Stacker.from_dict(stored)  # of an ensemble that was stored without them
    np.testing.assert_array_equal(before.scores(task, members, columns), stacker.scores(task, members, columns))
    assert before.to_dict() == stored
    strange = Columns({"age": np.array([np.nan, 1e9, *ends]), "sex": np.array(["", "x", "y", "f"], dtype=object)})
    assert stacker.beyond(columns) == before.beyond(columns) == ()
    assert stacker.beyond(strange) == (
        f"columns that training does not cover, of 4 rows: age of 1 row beyond {ends[0]:g} to {ends[1]:g} counts as "
        "the nearer end; sex of 2 rows ('x', 'y') counts as no category, for fewer than 5 rows of training have it",
    )


def test_numbers_and_categories_become_features() -> None:
    numbers = NumberFeatures.fit("age", np.array([0.0, 10.0, 20.0, np.nan]))
    found = numbers.features(Columns({"age": np.array([20.0, np.nan])}))
    assert found[:, -1].tolist() == [0.0, 1.0]
    assert found[1, 0] == 0.0
    assert NumberFeatures.fit("age", np.full(3, np.nan)).features(Columns({"age": np.full(2, np.nan)})).shape == (2, 2)
    category = CategoryFeatures.fit("sex", np.array(["f"] * 5 + ["m"] * 5 + ["x"] + [""] * 6, dtype=object))
    assert category.levels == ("", "f", "m")
    assert category.features(Columns({"sex": np.array(["m", "x"], dtype=object)})).tolist() == [[0, 0, 1], [0, 0, 0]]


def test_where_there_are_no_columns_or_no_classes_it_is_refused() -> None:
    task, text = TASKS[1], TextDetection("boxes", (64, 64))
    assert methods_for(task, "accuracy", columns=True)[-1] == "stack"
    assert "stack" not in methods_for(text, "hmean", columns=True)
    with pytest.raises(InputError, match=r"needs columns of the table, which data\.columns names"):
        check_voting(task, "accuracy", "stack", 2)
    with pytest.raises(InputError, match="needs scores of classes"):
        check_voting(text, "hmean", "stack", 2, columns=True)
    scores, targets, columns = problem(task)
    fitted = fit_method(Objective(task, "accuracy", targets), scores, voting="stack", columns=columns)
    assert fitted.with_postprocess({"offsets": {"a": 1.0}}).stacker is fitted.stacker


@pytest.mark.parametrize(
    "change",
    [
        {"coefficients": [[1.0]]},
        {"intercepts": [float("nan")] * 3},
        {"columns": [{"name": "age", "kind": "number"}]},
        {"coefficients": "many"},
        {"members": None},
    ],
)
def test_a_damaged_stacker_is_refused(change: dict[str, Any]) -> None:
    task = TASKS[1]
    scores, targets, columns = problem(task)
    stored = fit_stacker(Objective(task, "loss", targets), scores, columns)[0].to_dict()
    with pytest.raises((KeyError, TypeError, ValueError)):
        Stacker.from_dict({**stored, **change})
