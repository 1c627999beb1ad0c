"""Finer classes that are trained and coarser ones that are judged, against sums and metrics by hand."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from foldtune.errors import DataError
from foldtune.trainers.components import Component
from foldtune.trainers.tasks import Task, get_task, task_from_dict
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.judged import Judged
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.ordinal import Ordinal

GRADES = {"0": "healthy", "1": "sick", "2": "sick", "3": "sick"}
RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 4, 200)
FRAME = pd.DataFrame({"grade": LEVELS.astype(str)})
LOGITS = RNG.normal(size=(200, 4)) + 1.5 * np.eye(4)[LEVELS]


def make(name: str, judge_map: dict[str, str], **options: str) -> Judged:
    task = get_task(name, judge_map).from_frame(FRAME, "grade", judge_map=judge_map, **options)
    assert isinstance(task, Judged)
    return task


@pytest.mark.parametrize("name", ["ordinal", "multiclass"])
def test_scores_of_the_finer_classes_are_summed_before_the_metric(name: str) -> None:
    task = make(name, GRADES, positive="sick")
    sick = softmax(LOGITS, axis=1)[:, 1:].sum(axis=1)
    scores = task.scores(LOGITS)
    np.testing.assert_allclose(scores, sick, rtol=1e-12)
    targets = task.encode(FRAME)
    np.testing.assert_array_equal(targets, LEVELS)
    found = task.evaluate(scores, task.predict(scores), targets)
    assert found["auroc"] == pytest.approx(roc_auc_score(LEVELS > 0, sick))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(LEVELS > 0, sick >= 0.5))
    fitted = task.fit_postprocess(scores, targets, "balanced_accuracy")
    assert fitted == Binary("grade", ("healthy", "sick")).fit_postprocess(scores, LEVELS > 0, "balanced_accuracy")
    assert task.support(targets) == {"healthy": int((LEVELS == 0).sum()), "sick": int((LEVELS > 0).sum())}


def test_what_is_trained_is_of_the_finer_classes() -> None:
    task, plain = make("ordinal", GRADES, positive="sick"), Ordinal.from_frame(FRAME, "grade")
    assert (task.head_size, task.trained_names, task.label_names) == (4, plain.labels, ("healthy", "sick"))
    np.testing.assert_array_equal(task.class_counts(LEVELS), np.bincount(LEVELS))
    np.testing.assert_array_equal(task.strata(LEVELS), LEVELS)
    assert type(task.build_loss(Component("corn"), LEVELS)) is type(plain.build_loss(Component("corn"), LEVELS))
    assert task.losses == plain.losses
    assert task.metrics == Binary.metrics


def test_levels_that_are_numbers_again_are_levels_and_other_names_are_classes() -> None:
    levels = make("ordinal", {"0": "0", "1": "1", "2": "1", "3": "2"})
    assert isinstance(levels.judged, Ordinal)
    assert levels.default_metric == "qwk"
    expected = softmax(LOGITS, axis=1) @ np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 1]])
    np.testing.assert_allclose(levels.scores(LOGITS), expected, rtol=1e-12)
    classes = make("ordinal", {"0": "none", "1": "some", "2": "some", "3": "much"})
    assert type(classes.judged) is Multiclass
    frame = classes.submission_frame(["a"], np.array([0]), ["id", "some", "none", "much"], scores=np.eye(3)[:1])
    assert frame.columns.tolist() == ["id", "some", "none", "much"]


def test_each_label_for_itself_changes_nothing() -> None:
    same = {label: label for label in GRADES}
    task, plain = make("multiclass", same), Multiclass.from_frame(FRAME, "grade")
    scores = plain.scores(LOGITS)
    np.testing.assert_allclose(task.scores(LOGITS), scores, rtol=1e-12)
    assert task.evaluate(scores, task.predict(scores), LEVELS) == plain.evaluate(scores, plain.predict(scores), LEVELS)
    one = task.for_training(LEVELS[:50]).predict(scores, {"prior_power": 1.0})
    np.testing.assert_array_equal(one, plain.for_training(LEVELS[:50]).predict(scores, {"prior_power": 1.0}))


@pytest.mark.parametrize("judge_map", [GRADES, {"0": "0", "1": "1", "2": "1", "3": "2"}])
@pytest.mark.parametrize("name", ["ordinal", "multiclass"])
def test_it_is_stored_and_read_back(name: str, judge_map: dict[str, str]) -> None:
    task: Task = make(name, judge_map)
    assert task_from_dict(json.loads(json.dumps(task.to_dict()))) == task
    assert pickle.loads(pickle.dumps(task)) == task
    for change in ({"mapping": [0, 1]}, {"mapping": [0, 1, 9, 0]}, {"judged": None}, {"judged_as": "multilabel"}):
        with pytest.raises(DataError):
            task_from_dict({**task.to_dict(), **change})


def test_a_label_that_the_map_lacks_is_named() -> None:
    with pytest.raises(DataError, match="judge_map lacks a label: unknown label '3'"):
        make("multiclass", {"0": "a", "1": "b", "2": "b"})
    with pytest.raises(DataError, match="multilabel has no classes to sum up; valid: multiclass, ordinal"):
        get_task("multilabel", GRADES)
