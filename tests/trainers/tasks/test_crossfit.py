from __future__ import annotations

import time

import numpy as np
import pytest

from foldtune.trainers.data.folds import make_splits
from foldtune.trainers.fitting.evaluator import Evaluator
from foldtune.trainers.fitting.fit_types import FoldData
from foldtune.trainers.tasks.crossfit import cross_fitted_predictions, cross_fitted_score
from foldtune.trainers.tasks.multiclass import Multiclass


def task_of(targets: np.ndarray, classes: int) -> Multiclass:
    counts = tuple(int(count) for count in np.bincount(targets, minlength=classes))
    return Multiclass("label", tuple(str(c) for c in range(classes)), counts)


def draw(seed: int, n: int, classes: int, signal: float) -> tuple[Multiclass, np.ndarray, np.ndarray]:
    """A task, logits and targets, imbalanced 30:1; at ``signal`` 0 the logits are independent of the targets."""
    rng = np.random.default_rng(seed)
    prior = np.geomspace(30, 1, classes)
    targets = rng.choice(classes, n, p=prior / prior.sum())
    logits = rng.normal(size=(n, classes)) + np.log(prior)
    logits[np.arange(n), targets] += signal
    return task_of(targets, classes), logits.astype(np.float32), targets


def test_on_random_labels_the_estimate_stays_at_chance_where_the_fitted_figure_flatters() -> None:
    honest, flattering = [], []
    for seed in range(30):
        task, logits, targets = draw(seed, 200, 5, signal=0.0)
        scores = task.scores(logits)
        honest.append(cross_fitted_score(task, scores, targets, "balanced_accuracy"))
        fitted = task.predict(scores, task.fit_postprocess(scores, targets, "balanced_accuracy"))
        flattering.append(task.evaluate(scores, fitted, targets)["balanced_accuracy"])
    error = np.std(honest) / np.sqrt(len(honest))
    assert np.mean(honest) == pytest.approx(0.2, abs=4 * error)
    assert np.mean(honest) < 0.23
    assert np.mean(flattering) > 0.25


def test_with_signal_the_estimate_is_that_of_new_rows() -> None:
    gaps, gains = [], []
    for seed in range(12):
        task, logits, targets = draw(seed, 600, 5, signal=2.0)
        _, new_logits, new_targets = draw(seed + 1000, 6000, 5, signal=2.0)
        scores, new_scores = task.scores(logits), task.scores(new_logits)
        honest = cross_fitted_score(task, scores, targets, "balanced_accuracy")
        fitted = task.predict(new_scores, task.fit_postprocess(scores, targets, "balanced_accuracy"))
        true = task.evaluate(new_scores, fitted, new_targets)["balanced_accuracy"]
        plain = task.evaluate(new_scores, task.predict(new_scores), new_targets)["balanced_accuracy"]
        gaps.append(honest - true)
        gains.append(true - plain)
    assert abs(np.mean(gaps)) < 0.025
    assert np.mean(gains) > 0.1


def test_no_row_is_predicted_by_a_fit_that_has_seen_it() -> None:
    task, logits, targets = draw(0, 300, 4, signal=1.0)
    scores = task.scores(logits)
    splits = make_splits(targets)
    before = cross_fitted_predictions(task, scores, targets, "macro_f1", splits)
    other = np.where(splits == 2, (targets + 1) % 4, targets)
    after = cross_fitted_predictions(task, scores, other, "macro_f1", splits)
    assert np.array_equal(before[splits == 2], after[splits == 2])
    assert not np.array_equal(before[splits != 2], after[splits != 2])


def test_a_metric_of_scores_alone_needs_no_fit() -> None:
    task, logits, targets = draw(0, 100, 4, signal=1.0)
    scores = task.scores(logits)
    plain = task.evaluate(scores, task.predict(scores), targets)
    assert cross_fitted_score(task, scores, targets, "auroc") == plain["auroc"]
    assert cross_fitted_score(task, scores, targets, "loss") == plain["loss"]


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_a_handful_of_rows_still_gives_a_figure(n: int) -> None:
    task, logits, targets = draw(1, n, 4, signal=1.0)
    score = cross_fitted_score(task, task.scores(logits), targets, "macro_f1")
    assert 0 <= score <= 1


def test_splits_deal_each_stratum_out_evenly() -> None:
    strata = np.repeat([0, 1, 2], [50, 13, 3])
    splits = make_splits(strata)
    table = np.array([[np.sum((strata == s) & (splits == k)) for k in range(5)] for s in range(3)])
    assert (table.max(axis=1) - table.min(axis=1) <= 1).all()
    assert np.array_equal(splits, make_splits(strata))
    assert not np.array_equal(splits, make_splits(strata, seed=1))


def test_splits_keep_groups_together() -> None:
    groups = np.repeat(np.arange(40), 3)
    strata = np.repeat(np.arange(40) % 4, 3)
    splits = make_splits(strata, groups)
    assert all(len(np.unique(splits[groups == group])) == 1 for group in range(40))
    assert [len(np.unique(splits[strata == s])) for s in range(4)] == [5, 5, 5, 5]


def test_splits_of_several_labels_spread_the_rarest() -> None:
    strata = np.zeros((60, 3), dtype=np.int64)
    strata[:, 0] = 1
    strata[:10, 2] = 1
    assert np.bincount(make_splits(strata)[:10], minlength=5).tolist() == [2, 2, 2, 2, 2]


def test_a_fit_is_quick_enough_for_every_new_best_epoch() -> None:
    """Loose bounds, to notice an algorithm gone quadratic; the usual figures are ten times lower."""
    task, logits, targets = draw(0, 5000, 10, signal=2.0)
    scores = task.scores(logits)
    start = time.perf_counter()
    task.fit_postprocess(scores, targets, "macro_f1")
    assert time.perf_counter() - start < 1.0
    task, logits, targets = draw(0, 1600, 7, signal=2.0)
    scores = task.scores(logits)
    start = time.perf_counter()
    cross_fitted_score(task, scores, targets, "macro_f1")
    assert time.perf_counter() - start < 0.6


class SpiedTask(Multiclass):
    """Records the rows of every fit and of the predictions with it; a row's first score is its number."""

    fits: list[set[int]]
    predicted: list[set[int]]

    def fit_postprocess(self, scores: np.ndarray, targets: np.ndarray, metric: str) -> dict[str, object]:
        self.fits.append({int(row) for row in scores[:, 0]})
        return self.default_postprocess()

    def predict(self, scores: np.ndarray, postprocess: object = None) -> np.ndarray:
        self.predicted.append({int(row) for row in scores[:, 0]})
        return np.zeros(len(scores), dtype=np.int64)

    def scores(self, logits: np.ndarray) -> np.ndarray:
        return logits


def spied(targets: np.ndarray) -> SpiedTask:
    task = SpiedTask("label", ("a", "b", "c"), tuple(int(count) for count in np.bincount(targets, minlength=3)))
    object.__setattr__(task, "fits", [])
    object.__setattr__(task, "predicted", [])
    return task


@pytest.mark.parametrize("way", ["tuned", "shown"])
def test_no_fit_has_seen_a_row_of_a_group_that_it_predicts(way: str) -> None:
    """Of `postprocess: tuned`, and of the tuned figure that every trial shows."""
    rows = 60
    groups = np.array([f"g{row // 4}" for row in np.random.default_rng(0).permutation(rows)])
    targets = np.arange(rows) % 3
    task = spied(targets)
    numbers = np.stack([np.arange(rows), np.zeros(rows), np.zeros(rows)], axis=1)
    data = FoldData(None, targets, np.arange(rows).astype(str), np.arange(0), np.arange(rows), groups)
    evaluator = Evaluator(task, data, "balanced_accuracy", "tuned" if way == "tuned" else {})
    if way == "tuned":
        evaluator.metrics(numbers, 1)
    else:
        evaluator.tuned(numbers, {"balanced_accuracy": 0.0})
    assert len(task.fits) == len(task.predicted) == 5
    for fitted, predicted in zip(task.fits, task.predicted, strict=True):
        assert not {groups[row] for row in fitted} & {groups[row] for row in predicted}
        assert not fitted & predicted
