"""Costs: the value by hand, and the fit against every post-processing that there is to try."""

from __future__ import annotations

import itertools
import json
import pickle

import numpy as np
import pandas as pd
import pytest

from foldtune.errors import DataError
from foldtune.trainers.postprocess.offsets import coordinate_ascent, least_expected_cost, log_scores
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.crossfit import cross_fitted_score
from foldtune.trainers.tasks.judged import OrdinalAsBinary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.ordinal import Ordinal
from foldtune.trainers.tasks.soft import SoftMulticlass, SoftMultilabel
from foldtune.trainers.tasks.text_detection import TextDetection
from foldtune.trainers.user_metrics.costs import Costs
from foldtune.trainers.user_metrics.task import stored_task, with_metrics

MISS, ALARM = 5.0, 1.0
TWO = ((0.0, ALARM), (MISS, 0.0))
THREE = ((0.0, 1.0, 2.0), (4.0, 0.0, 1.0), (9.0, 3.0, 0.0))
rng = np.random.default_rng(3)


def binary(matrix: tuple[tuple[float, ...], ...] = TWO) -> Task:
    return with_metrics(Binary("y", ("no", "yes")), [Costs(matrix)])


def multiclass() -> Task:
    return with_metrics(Multiclass("y", ("a", "b", "c"), (50, 30, 20)), [Costs(THREE)])


def scores_of(targets: np.ndarray, classes: int) -> np.ndarray:
    logits = rng.normal(size=(len(targets), classes)) + 1.5 * np.eye(classes)[targets]
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_the_cost_is_the_mean_of_the_matrix_over_the_rows() -> None:
    task, targets = binary(), np.array([0, 0, 1, 1, 1])
    values = task.evaluate(np.full(5, 0.5), np.array([0, 1, 0, 0, 1]), targets)
    assert values["cost"] == pytest.approx((ALARM + 2 * MISS) / 5)
    assert next(iter(values)) == "cost"
    assert task.mode("cost") == "min"
    assert task.metrics["accuracy"] == "max"
    assert Binary.metrics == type(task).metrics
    assert "cost" not in Binary.metrics


def test_a_binary_threshold_is_the_best_of_all() -> None:
    targets = rng.integers(0, 2, 80)
    scores = scores_of(targets, 2)[:, 1]
    task = binary(((0.5, 1.0), (5.0, -1.0)))
    fitted = task.fit_postprocess(scores, targets, "cost")
    cut = np.unique(np.concatenate([[0.0, 1.0], scores, scores + 1e-9]))
    every = [task.metric_value("cost", scores, (scores >= each).astype(int), targets) for each in cut]
    assert task.metric_value("cost", scores, task.predict(scores, fitted), targets) == pytest.approx(min(every))


def test_ordinal_cuts_are_the_best_of_all() -> None:
    targets = rng.integers(0, 3, 40)
    scores = scores_of(targets, 3)
    task = with_metrics(Ordinal("y", ("0", "1", "2"), (1, 1, 1)), [Costs(THREE)])
    fitted = task.fit_postprocess(scores, targets, "cost")
    levels = np.unique(scores @ np.arange(3))
    places = np.concatenate([[-1.0], (levels[1:] + levels[:-1]) / 2, [3.0]])
    every = [
        task.metric_value("cost", scores, task.predict(scores, {"cuts": list(cuts)}), targets)
        for cuts in itertools.combinations_with_replacement(places, 2)
    ]
    argmax = task.metric_value("cost", scores, scores.argmax(axis=1), targets)
    reached = task.metric_value("cost", scores, task.predict(scores, fitted), targets)
    assert reached == pytest.approx(min(*every, argmax))


def test_multilabel_thresholds_are_the_best_of_all() -> None:
    targets = rng.integers(0, 2, (60, 2))
    scores = np.clip(0.35 + 0.3 * targets + 0.2 * rng.normal(size=targets.shape), 0, 1)
    task = with_metrics(Multilabel("y", ("a", "b")), [Costs(TWO)])
    fitted = task.fit_postprocess(scores, targets, "cost")
    best = 0.0
    for label in range(2):
        cuts = np.unique(np.concatenate([[0.0, 1.1], scores[:, label]]))
        by_hand = np.array(TWO)
        best += min(by_hand[targets[:, label], (scores[:, label] >= cut).astype(int)].mean() for cut in cuts)
    assert task.metric_value("cost", scores, task.predict(scores, fitted), targets) == pytest.approx(best)


def test_the_class_of_least_expected_cost_is_found_row_by_row() -> None:
    scores, costs = scores_of(rng.integers(0, 3, 50), 3), np.array(THREE)
    by_hand = [int(np.argmin([sum(p[i] * costs[i, j] for i in range(3)) for j in range(3)])) for p in scores]
    assert least_expected_cost(log_scores(scores), costs).tolist() == by_hand
    task = multiclass()
    assert task.predict(scores, {"decision": "expected_cost"}).tolist() == by_hand
    assert task.predict(scores, {"decision": "argmax"}).tolist() == scores.argmax(axis=1).tolist()
    single = task.predict(scores[7:8], {"decision": "expected_cost"})
    assert single.tolist() == by_hand[7:8]


def test_multiclass_costs_less_than_by_argmax_also_cross_fitted() -> None:
    targets = rng.choice(3, 400, p=[0.6, 0.3, 0.1])
    scores = scores_of(targets, 3)
    task = multiclass()
    plain = task.metric_value("cost", scores, scores.argmax(axis=1), targets)
    fitted = task.fit_postprocess(scores, targets, "cost")
    assert not task.check_postprocess(fitted)
    assert task.metric_value("cost", scores, task.predict(scores, fitted), targets) < 0.9 * plain
    assert cross_fitted_score(task, scores, targets, "cost") < plain


def test_no_single_offset_lowers_the_cost_of_the_ascent() -> None:
    targets = rng.integers(0, 3, 60)
    logs, costs = log_scores(scores_of(targets, 3)), np.array(THREE)
    offsets = coordinate_ascent(logs, targets, -costs)
    reached = costs[targets, (logs + offsets).argmax(axis=1)].mean()
    for index, value in itertools.product(range(3), np.linspace(-8, 8, 400)):
        tried = offsets.copy()
        tried[index] = value
        assert reached <= costs[targets, (logs + tried).argmax(axis=1)].mean() + 1e-9


def test_a_task_with_costs_is_stored_and_sent_to_workers_whole() -> None:
    for task in (binary(), multiclass()):
        assert stored_task(json.loads(json.dumps(task.to_dict()))) == task
        assert pickle.loads(pickle.dumps(task)) == task
        assert task.for_training(np.array([0, 1, 1])).metrics == task.metrics
    assert stored_task(Binary("y", ("no", "yes")).to_dict()) == Binary("y", ("no", "yes"))
    assert with_metrics(binary(), []) == Binary("y", ("no", "yes"))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([[0, 1], [5, 0]], "2 rows of 2; the task multiclass needs 3 rows of 3 numbers"),
        ([[0, 1, 2], [1, 0, 2], [1, 2]], "3 rows of 2 or 3"),
        ([[0, 1, 2], [1, 0, "x"], [1, 2, 0]], "'x' is no finite number"),
        ([[0, 1, 2], [1, 0, float("nan")], [1, 2, 0]], "nan is no finite number"),
        ("costs", "no matrix"),
    ],
)
def test_a_matrix_that_does_not_fit_is_refused(rows: object, words: str) -> None:
    with pytest.raises(DataError, match=words.replace("'", ".")):
        Costs.of(rows, multiclass(), "search.costs")


def test_a_task_without_classes_has_no_costs() -> None:
    with pytest.raises(DataError, match="no classes to confuse"):
        Costs.of([[0, 1], [1, 0]], TextDetection("boxes", (64, 64)), "costs")


def test_the_rule_of_costs_is_known_where_there_are_costs_alone() -> None:
    without = with_metrics(multiclass(), [])
    assert [str(each) for each in without.check_postprocess({"decision": "expected_cost"})]
    (problem,) = multiclass().check_postprocess({"decision": "expected_costs"})
    assert "did you mean 'expected_cost'" in problem.message


def test_soft_targets_cost_what_their_hard_labels_do() -> None:
    hard = rng.integers(0, 3, 60)
    scores = scores_of(hard, 3)
    soft = with_metrics(SoftMulticlass("y", ("a", "b", "c"), (20.0, 20.0, 20.0)), [Costs(THREE)])
    targets = (0.6 * np.eye(3)[hard] + 0.4 / 3).astype(np.float32)
    predictions = scores.argmax(axis=1)
    assert soft.evaluate(scores, predictions, targets)["cost"] == np.array(THREE)[hard, predictions].mean()
    assert soft.fit_postprocess(scores, targets, "cost") == multiclass().fit_postprocess(scores, hard, "cost")
    assert stored_task(json.loads(json.dumps(soft.to_dict()))) == soft


def test_an_unknown_cell_costs_nothing() -> None:
    task = with_metrics(SoftMultilabel("y", ("a", "b")), [Costs(TWO)])
    targets = np.array([[1.0, np.nan], [0.0, 1.0]])
    predictions = np.array([[1, 1], [1, 0]])
    assert task.metric_value("cost", np.full((2, 2), 0.5), predictions, targets) == (ALARM + MISS) / 2
    assert task.fit_postprocess(np.full((2, 2), 0.5), targets, "cost")


def test_costs_of_coarser_classes_that_are_judged() -> None:
    frame = pd.DataFrame({"y": ["0", "1", "2"] * 20})
    plain = OrdinalAsBinary.from_frame(frame, "y", judge_map={"0": "no", "1": "yes", "2": "yes"})
    task = with_metrics(plain, [Costs(TWO)])
    fine = plain.encode(frame)
    scores = task.scores(rng.normal(size=(60, 3)))
    predictions = task.predict(scores)
    assert task.metrics["cost"] == "min"
    assert "cost" in task.tunable_metrics
    assert "cost" not in type(task).metrics
    by_hand = np.array(TWO)[(fine > 0).astype(int), predictions].mean()
    assert task.evaluate(scores, predictions, fine)["cost"] == pytest.approx(by_hand)
    fitted = task.fit_postprocess(scores, fine, "cost")
    assert task.metric_value("cost", scores, task.predict(scores, fitted), fine) <= by_hand
    assert stored_task(json.loads(json.dumps(task.to_dict()))) == task
    assert Costs.of([[0, 1], [1, 0]], plain, "costs").matrix
    assert with_metrics(task, ()) == plain
