"""Votes of members against brute force, and figures that no fit flatters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score

from foldtune.errors import InputError
from foldtune.results.records.ranking import Goal
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.combiner import fit_method
from foldtune.search.voting.estimate import EnsembleCombiner, Member, best_single, estimate
from foldtune.search.voting.evaluation import Objective
from foldtune.trainers.tasks.multiclass import Multiclass

Array = npt.NDArray[np.float64]
NONE = Bootstrap(samples=0)

REFERENCE = np.array(
    [[[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]], [[0.4, 0.5, 0.1], [0.3, 0.3, 0.4]], [[0.45, 0.35, 0.2], [0.1, 0.8, 0.1]]]
)
"""Models x samples x classes."""
EQUAL = (1 / 3,) * 3
TASK3 = Multiclass("label", ("a", "b", "c"), (10, 10, 10))
TASK = Multiclass("label", ("a", "b", "c", "d"), (60, 40, 20, 10))


def draw(rows: int, members: int, skill: float, seed: int = 0) -> tuple[list[Member], npt.NDArray[np.int64], Array]:
    """Members with noisy scores, targets and folds; at `skill` 0 the scores are independent of the targets."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(4, rows, p=np.array(TASK.counts) / sum(TASK.counts))
    truth = skill * np.eye(4)[targets]
    scores = [softmax(truth + rng.normal(size=(rows, 4)), axis=1) for _ in range(members)]
    folds = rng.permutation(rows) % 3
    return [Member(f"{i:04d}", values, ()) for i, values in enumerate(scores)], targets, folds


def brute_force_hard(
    predictions: npt.NDArray[np.int64], mean: Array, min_votes: int, soft: npt.NDArray[np.int64]
) -> list[int]:
    """Row by row: most votes, ties by the mean score; fewer than `min_votes` leave it to the soft vote."""
    answer = []
    for row in range(predictions.shape[1]):
        votes = [int((predictions[:, row] == c).sum()) for c in range(mean.shape[1])]
        winner = max(range(mean.shape[1]), key=lambda c: (votes[c], mean[row, c]))
        answer.append(winner if max(votes) >= min_votes else int(soft[row]))
    return answer


def test_soft_vote_of_the_reference() -> None:
    mean, predictions = EnsembleCombiner("soft", None, EQUAL, {}).apply(TASK3, list(REFERENCE))
    np.testing.assert_allclose(mean[0], [0.45, 0.383333, 0.166667], atol=1e-5)
    np.testing.assert_allclose(mean, REFERENCE.mean(axis=0), atol=1e-12)
    assert predictions.tolist() == REFERENCE.mean(axis=0).argmax(axis=1).tolist()


def test_hard_vote_of_the_reference() -> None:
    members = list(REFERENCE)
    own = REFERENCE.argmax(axis=2)
    assert own[:, 0].tolist() == [0, 1, 0]
    _, predictions = EnsembleCombiner("hard", None, EQUAL, {}, ({}, {}, {})).apply(TASK3, members)
    assert predictions.tolist() == [0, 1]
    _, unanimous = EnsembleCombiner("hard", 3, EQUAL, {"offsets": {"c": 5.0}}, ({}, {}, {})).apply(TASK3, members)
    assert unanimous.tolist() == [2, 2], "without three votes the post-processed soft vote decides"


@pytest.mark.parametrize("min_votes", [1, 2, 3, 4])
def test_hard_vote_equals_brute_force(min_votes: int) -> None:
    members, targets, _ = draw(200, 4, skill=1.0)
    scores = [member.scores for member in members]
    combiner = fit_method(Objective(TASK, "macro_f1", targets), scores, voting="hard", min_votes=min_votes)
    mean, predictions = combiner.apply(TASK, scores)
    own = np.stack([TASK.predict(s, p) for s, p in zip(scores, combiner.member_postprocess, strict=True)])
    soft = TASK.predict(np.mean(scores, axis=0), combiner.postprocess)
    assert predictions.tolist() == brute_force_hard(own, np.mean(scores, axis=0), min_votes, soft)
    np.testing.assert_allclose(mean, np.mean(scores, axis=0), atol=1e-12)


def test_more_votes_than_members_are_refused() -> None:
    members, targets, folds = draw(60, 2, skill=1.0)
    with pytest.raises(InputError, match="min_votes 3: each of 2 configurations"):
        estimate(Objective(TASK, "macro_f1", targets), members, folds, voting="hard", min_votes=3)


@pytest.mark.parametrize("voting", ["soft", pytest.param("hard", marks=pytest.mark.slow)])
def test_random_labels_are_estimated_at_chance(voting: str) -> None:
    """A fit evaluated on its own rows would beat chance by far: small classes overfit."""
    values, flattered = [], []
    for seed in range(20):
        members, targets, folds = draw(100, 3, skill=0.0, seed=seed)
        judged = estimate(Objective(TASK, "balanced_accuracy", targets), members, folds, voting=voting, bootstrap=NONE)
        values.append(judged.metrics["balanced_accuracy"])
        _, predictions = judged.combiner.apply(TASK, [member.scores for member in members])
        flattered.append(TASK.evaluate(judged.scores, predictions, targets)["balanced_accuracy"])
    standard_error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - 0.25) < 3 * standard_error
    assert np.mean(flattered) > 0.25 + 3 * standard_error, "the data must be such that a leak would show"


@pytest.mark.parametrize("voting", ["soft", "hard"])
@pytest.mark.parametrize("fold", [0, *(pytest.param(fold, marks=pytest.mark.slow) for fold in (1, 2))])
def test_labels_of_a_fold_do_not_reach_the_combiner_that_predicts_it(voting: str, fold: int) -> None:
    members, targets, folds = draw(180, 3, skill=1.0)
    corrupted = np.where(folds == fold, (targets + 1) % 4, targets)
    before, after = (
        estimate(Objective(TASK, "macro_f1", y), members, folds, voting=voting, bootstrap=NONE).predictions
        for y in (targets, corrupted)
    )
    np.testing.assert_array_equal(before[folds == fold], after[folds == fold])
    assert (before[folds != fold] != after[folds != fold]).any(), "it should reach the combiners of other folds"


@pytest.mark.parametrize("voting", ["soft", "hard"])
def test_neither_the_order_of_members_nor_of_rows_matters(voting: str) -> None:
    members, targets, folds = draw(150, 4, skill=1.0)
    expected = estimate(Objective(TASK, "macro_f1", targets), members, folds, voting=voting, bootstrap=NONE)

    turned = estimate(Objective(TASK, "macro_f1", targets), members[::-1], folds, voting=voting, bootstrap=NONE)
    np.testing.assert_array_equal(turned.predictions, expected.predictions)
    np.testing.assert_array_equal(turned.scores, expected.scores)
    assert turned.member_values == expected.member_values[::-1]

    order = np.random.default_rng(1).permutation(len(targets))
    moved = [Member(m.trial_id, m.scores[order], ()) for m in members]
    shuffled = estimate(Objective(TASK, "macro_f1", targets[order]), moved, folds[order], voting=voting, bootstrap=NONE)
    np.testing.assert_allclose(shuffled.scores, expected.scores[order], atol=1e-6)
    np.testing.assert_array_equal(shuffled.predictions, expected.predictions[order])
    assert shuffled.metrics == pytest.approx(expected.metrics, abs=1e-6)
    test_scores = [member.scores for member in members]
    np.testing.assert_allclose(
        shuffled.combiner.apply(TASK, test_scores)[0], expected.combiner.apply(TASK, test_scores)[0], atol=1e-6
    )
    np.testing.assert_array_equal(
        shuffled.combiner.apply(TASK, test_scores)[1], expected.combiner.apply(TASK, test_scores)[1]
    )


def test_figures_equal_those_of_scikit_learn() -> None:
    members, targets, folds = draw(150, 3, skill=1.5)
    judged = estimate(Objective(TASK, "macro_f1", targets), members, folds, voting="soft", bootstrap=NONE)
    assert judged.metrics["macro_f1"] == pytest.approx(
        f1_score(targets, judged.predictions, average="macro", labels=range(4), zero_division=0)
    )
    assert judged.metrics["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(targets, judged.predictions))
    by_hand = np.empty_like(targets)
    for fold in range(3):
        out = folds == fold
        mean = np.mean([member.scores for member in members], axis=0)
        fitted = TASK.fit_postprocess(mean[~out], targets[~out], "macro_f1")
        by_hand[out] = TASK.predict(mean[out], fitted)
    np.testing.assert_array_equal(judged.predictions, by_hand)


def test_an_ensemble_of_independent_members_beats_each() -> None:
    members, targets, folds = draw(600, 5, skill=1.5)
    judged = estimate(Objective(TASK, "balanced_accuracy", targets), members, folds, voting="soft", bootstrap=NONE)
    assert judged.metrics["balanced_accuracy"] > max(judged.member_values) + 0.05


@pytest.mark.parametrize(("mode", "values", "best"), [("max", (0.1, 0.3, 0.3), 1), ("min", (0.4, 0.2, 0.2), 1)])
def test_best_single(mode: str, values: Sequence[float], best: int) -> None:
    members = [Member(str(i), np.zeros((1, 2)), ()) for i in range(3)]
    assert best_single(members, values, Goal("m", mode)) == (str(best), values[best])  # type: ignore[arg-type]


def test_a_metric_of_scores_is_not_post_processed() -> None:
    members, targets, folds = draw(90, 2, skill=1.0)
    judged = estimate(Objective(TASK, "loss", targets), members, folds, voting="soft", bootstrap=NONE)
    assert dict(judged.combiner.postprocess) == TASK.default_postprocess()
    np.testing.assert_array_equal(judged.predictions, np.mean([m.scores for m in members], axis=0).argmax(axis=1))
