"""Tasks of soft targets and of unknown cells, against scikit-learn and brute force on what is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, f1_score, log_loss, roc_auc_score

from foldtune.errors import DataError
from foldtune.trainers.data.folds import assign_folds
from foldtune.trainers.postprocess.thresholds import Sorted, f_beta, shrink
from foldtune.trainers.tasks import Task, get_task, task_from_dict
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.tasks.registry import task_for
from foldtune.trainers.tasks.soft import SoftMulticlass, SoftMultilabel

RNG = np.random.default_rng(0)
N, L = 300, 4
LABELS = (RNG.random((N, L)) < [0.5, 0.3, 0.2, 0.1]).astype(np.int64)
KNOWN = RNG.random((N, L)) < 0.7
KNOWN[:5] = False
SCORES = np.clip(0.3 * RNG.random((N, L)) + 0.5 * RNG.random((N, L)) + 0.2 * LABELS, 1e-3, 1 - 1e-3)
MASKED = np.where(KNOWN, LABELS, np.nan).astype(np.float32)
NAMES = ("a", "b", "c", "d")
SOFT, HARD = SoftMultilabel("y", NAMES), Multilabel("y", NAMES)


def frame(*cells: str | None) -> pd.DataFrame:
    return pd.DataFrame({"y": list(cells)})


def test_probabilities_are_divided_by_their_sum_and_rows_counted_by_the_likeliest() -> None:
    table = frame("{'b': .6, 'a': .2}", "{'a': 1}", "{'a': .5, 'b': .5}", "{'c': .25, 'a': .75}")
    task = SoftMulticlass.from_frame(table, "y")
    targets = task.encode(table)
    assert task.labels == ("a", "b", "c")
    assert targets == pytest.approx(np.array([[0.25, 0.75, 0], [1, 0, 0], [0.5, 0.5, 0], [0.75, 0, 0.25]]))
    assert task.strata(targets).tolist() == task.as_predictions(targets).tolist() == [1, 0, 0, 0]
    assert task.class_counts(targets).tolist() == list(task.counts) == [2.5, 1.25, 0.25]
    assert task.support(targets) == {"a": 3, "b": 1, "c": 0}
    notes = task.label_notes(table)
    assert "soft targets" in notes[0]
    assert "1 rows do not sum to 1" in notes[1]
    assert "1 rows have several likeliest labels" in notes[2]
    alike = frame("{'a': 1}", "{'A': 1}")
    assert "'a' and 'A' look alike" in SoftMulticlass.from_frame(alike, "y").label_notes(alike)[0]
    assert "'a' and 'A' look alike" in SoftMultilabel.from_frame(alike, "y").label_notes(alike)[0]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("{'a': .5, 'b': .5}", "{'a': 0, 'b': 0}"), r"no label of a weight over 0 in 1 of 2 rows \(data rows 2\)"),
        (("{'a': .5, 'b': .5}", None), "no label of a weight over 0 in 1 of 2 rows"),
        (("{'a': .5, 'b': None}", "{'b': 1}"), "a label without a weight in 1 of 2 rows"),
        (("{'a': .5}", "{'a': 1}"), "weights of the label 'a' alone"),
        (("{}", "{}"), "has no weights"),
    ],
)
def test_weights_that_are_no_probabilities_of_classes_are_refused(cells: tuple[str, ...], words: str) -> None:
    with pytest.raises(DataError, match=words):
        SoftMulticlass.from_frame(frame(*cells), "y")


def test_one_hot_probabilities_are_the_hard_task() -> None:
    classes = RNG.integers(0, 3, 90)
    hard_table = pd.DataFrame({"y": [NAMES[label] for label in classes]})
    soft_table = pd.DataFrame({"y": [str({NAMES[label]: 1.0}) for label in classes]})
    hard, soft = Multiclass.from_frame(hard_table, "y"), SoftMulticlass.from_frame(soft_table, "y")
    targets, one_hot = hard.encode(hard_table), soft.encode(soft_table)
    assert soft.encode(hard_table).tolist() == one_hot.tolist() == np.eye(3)[targets].tolist()
    assert (soft.labels, list(soft.counts)) == (hard.labels, list(hard.counts))
    scores = RNG.dirichlet([1, 1, 1], 90)
    assert soft.evaluate(scores, soft.predict(scores), one_hot) == pytest.approx(
        hard.evaluate(scores, hard.predict(scores), targets), abs=1e-6
    )
    for metric in hard.tunable_metrics:
        assert soft.fit_postprocess(scores, one_hot, metric) == hard.fit_postprocess(scores, targets, metric)
    folds = [assign_folds(task.strata(each), None, 5, 0) for task, each in ((hard, targets), (soft, one_hot))]
    assert folds[0].tolist() == folds[1].tolist()


def test_the_loss_of_probabilities_is_their_cross_entropy() -> None:
    shares, scores = RNG.dirichlet([1, 1, 1], 50).astype(np.float32), RNG.dirichlet([1, 1, 1], 50)
    task = SoftMulticlass("y", ("a", "b", "c"), (1, 1, 1))
    rows, classes = np.repeat(scores, 3, axis=0), np.tile([0, 1, 2], 50)
    expected = log_loss(classes, rows, sample_weight=shares.astype(np.float64).ravel())
    assert task.evaluate(scores, task.predict(scores), shares)["loss"] == pytest.approx(expected, abs=1e-6)


def test_certain_labels_are_the_hard_task() -> None:
    predictions = HARD.predict(SCORES)
    targets = LABELS.astype(np.float32)
    assert SOFT.evaluate(SCORES, predictions, targets) == pytest.approx(HARD.evaluate(SCORES, predictions, LABELS))
    assert SOFT.class_counts(targets).tolist() == HARD.class_counts(LABELS).tolist()
    assert SOFT.per_class(predictions, targets) == HARD.per_class(predictions, LABELS)
    for metric in HARD.tunable_metrics:
        assert SOFT.fit_postprocess(SCORES, targets, metric) == HARD.fit_postprocess(SCORES, LABELS, metric)


def test_unknown_cells_count_in_no_metric() -> None:
    predictions = HARD.predict(SCORES)
    values = SOFT.evaluate(SCORES, predictions, MASKED)
    columns = [(LABELS[known, at], SCORES[known, at], predictions[known, at]) for at, known in enumerate(KNOWN.T)]
    assert values["macro_f1"] == pytest.approx(np.mean([f1_score(t, p) for t, _, p in columns]))
    assert values["micro_f1"] == pytest.approx(f1_score(LABELS[KNOWN], predictions[KNOWN]))
    assert values["map"] == pytest.approx(np.mean([average_precision_score(t, s) for t, s, _ in columns]))
    assert values["auroc"] == pytest.approx(np.mean([roc_auc_score(t, s) for t, s, _ in columns]))
    assert values["loss"] == pytest.approx(log_loss(LABELS[KNOWN], SCORES[KNOWN]))
    rows = [(LABELS[at, known], predictions[at, known]) for at, known in enumerate(KNOWN) if known.any()]
    assert values["accuracy"] == pytest.approx(np.mean([(t == p).all() for t, p in rows]))
    assert values["samples_f1"] == pytest.approx(np.mean([f1_score(t, p, zero_division=0) for t, p in rows]))
    changed = np.where(KNOWN, SCORES, 0.9)
    assert SOFT.evaluate(changed, np.where(KNOWN, predictions, 1), MASKED) == pytest.approx(values)
    assert SOFT.per_class(predictions, MASKED)[1]["support"] == int(LABELS[KNOWN[:, 1], 1].sum())
    assert SOFT.class_counts(MASKED)[1].tolist() == np.bincount(LABELS[KNOWN[:, 1], 1], minlength=2).tolist()


@pytest.mark.parametrize("metric", sorted(HARD.tunable_metrics))
def test_thresholds_are_fitted_to_the_known_cells(metric: str) -> None:
    fitted = SOFT.fit_postprocess(SCORES, MASKED, metric)
    assert SOFT.fit_postprocess(np.where(KNOWN, SCORES, 0.99), MASKED, metric) == fitted
    value = SOFT.evaluate(SCORES, SOFT.predict(SCORES, fitted), MASKED)[metric]
    tried = [
        SOFT.evaluate(SCORES, SOFT.predict(SCORES, {"threshold": threshold}), MASKED)[metric]
        for threshold in np.linspace(0.02, 0.98, 97)
    ]
    assert value >= max(tried) - 1e-3


def test_a_label_s_threshold_is_that_of_its_known_rows_alone() -> None:
    fitted = SOFT.fit_postprocess(SCORES, MASKED, "macro_f1")
    known = KNOWN[:, 0]
    shared = fitted["threshold"]
    exact = Sorted.of(SCORES[known][:, 0][None], LABELS[known][:, 0][None]).thresholds(f_beta(1.0), near=shared)
    shrunk = shrink(exact, shared, LABELS[known][:, [0]].sum(axis=0))
    assert fitted["thresholds"]["a"] == pytest.approx(float(shrunk[0]), abs=1e-9)


def test_weights_reach_the_threshold_or_not_as_they_are_written() -> None:
    table = frame("{'a': .3, 'b': .7}", "{'a': 0.29, 'c': None}", "", "{'c': 1}")
    task = SoftMultilabel.from_frame(table, "y", soft_threshold=0.3)
    targets = task.encode(table)
    assert task.strata(targets).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert np.isnan(targets).tolist() == [[False] * 3, [False, False, True], [False] * 3, [False] * 3]
    assert task.support(targets) == {"a": 1, "b": 1, "c": 1}
    notes = task.label_notes(table)
    assert "at least 0.3" in notes[0]
    assert "1 of 12 cells are unknown" in notes[1]
    without = frame("{'a': .3, 'd': 0}", "{'b': 1, 'e': None}")
    assert SoftMultilabel.from_frame(without, "y").labels == ("a", "b")
    assert SoftMultilabel("y", ("a", "b")).encode(without).shape == (2, 2)
    assert "no row reaches that weight of a" in SoftMultilabel.from_frame(table, "y").label_notes(table)[1]


def test_rows_and_folds_without_any_known_cell_have_finite_metrics() -> None:
    nothing = np.full((3, L), np.nan, dtype=np.float32)
    values = SOFT.evaluate(SCORES[:3], SOFT.predict(SCORES[:3]), nothing)
    assert all(np.isfinite(value) for value in values.values())
    assert SOFT.fit_postprocess(SCORES[:3], nothing, "macro_f1") == SOFT.default_postprocess()


@pytest.mark.parametrize("task", [SoftMulticlass("y", ("a", "b"), (1.5, 2.5)), SoftMultilabel("y", NAMES, ";", 0.3)])
def test_soft_tasks_are_stored_as_their_kind(task: Task) -> None:
    stored = task.to_dict()
    assert stored["soft"] is True
    assert task_from_dict(stored) == task
    assert type(task_from_dict({**stored, "soft": False})) is get_task(task.name)


def test_other_tasks_take_no_weights() -> None:
    with pytest.raises(DataError, match="which the tasks multiclass and multilabel take, not ordinal"):
        task_for(get_task("ordinal"), frame("{'a': 1}"), "y")
    assert task_for(get_task("ordinal"), frame("a"), "y") is get_task("ordinal")
