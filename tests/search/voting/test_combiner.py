"""Weighted, greedy, rank and automatic voting: no leak, no order, and the members that they should take."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import expit, softmax
from sklearn.metrics import log_loss, roc_auc_score

from foldtune.errors import InputError
from foldtune.search.voting.bootstrap import Bootstrap
from foldtune.search.voting.combiner import METHODS, EnsembleCombiner, check_voting, fit_method, methods_for
from foldtune.search.voting.estimate import Estimate, Member, estimate
from foldtune.search.voting.evaluation import MAX_ELEMENTS, Objective, choose_rows
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.multilabel import Multilabel
from foldtune.trainers.user_metrics.function import MetricFunction
from foldtune.trainers.user_metrics.task import with_metrics

Array = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int64]

TASK = Multiclass("label", ("a", "b", "c", "d"), (60, 40, 20, 10))
BINARY = Binary("label", ("no", "yes"))
LABELS = Multilabel("labels", ("a", "b", "c"))
FIXED = {"prior_power": 1.0, "offsets": {"d": 0.5}}


def draw(rows: int, skills: Sequence[float], seed: int = 0) -> tuple[list[Array], Targets, Targets]:
    """Scores of a member of each skill, targets and three folds."""
    rng = np.random.default_rng(seed)
    targets = rng.choice(4, rows, p=np.array(TASK.counts) / sum(TASK.counts))
    truth = np.eye(4)[targets]
    scores = [softmax(skill * truth + rng.normal(size=(rows, 4)), axis=1) for skill in skills]
    return scores, targets, rng.permutation(rows) % 3


def as_members(scores: Sequence[Array]) -> list[Member]:
    return [Member(f"{place:04d}", each, ()) for place, each in enumerate(scores)]


def test_greedy_takes_the_strong_member_and_leaves_the_useless() -> None:
    scores, targets, folds = draw(400, [3.0, *[0.0] * 12])
    judged = estimate(
        Objective(TASK, "macro_f1", targets), as_members(scores), folds, voting="greedy", bootstrap=Bootstrap(samples=0)
    )
    assert judged.combiner.weights[0] > 0.9
    assert judged.metrics["macro_f1"] > max(judged.member_values) - 0.03
    soft = estimate(
        Objective(TASK, "macro_f1", targets), as_members(scores), folds, voting="soft", bootstrap=Bootstrap(samples=0)
    )
    assert judged.metrics["macro_f1"] > soft.metrics["macro_f1"] + 0.2, "the useless must do harm to be worth leaving"


@pytest.mark.parametrize("voting", ["weighted", "greedy"])
def test_weights_follow_skill(voting: str) -> None:
    scores, targets, _ = draw(600, [2.0, 2.0, 0.0])
    weights = fit_method(Objective(TASK, "loss", targets), scores, voting=voting).weights
    assert sum(weights) == pytest.approx(1.0)
    assert weights[2] < 0.1 < min(weights[:2])


@pytest.mark.parametrize("seed", range(6))
def test_a_member_that_does_not_help_has_weight_zero(seed: int) -> None:
    scores, targets, _ = draw(300, [2.0, 1.8, 0.3, 0.2], seed)
    weights = fit_method(Objective(TASK, "loss", targets), scores, voting="weighted").weights
    assert weights[2:] == (0.0, 0.0), "and not 2e-16, for which predictions would ask its models"


def test_blend_weights_have_the_least_loss_of_a_fine_grid() -> None:
    scores, targets, _ = draw(300, [2.0, 1.0, 0.5])

    of_truth = np.stack(scores)[:, np.arange(len(targets)), targets]

    def loss(weights: Sequence[float]) -> float:
        return float(-np.log(np.array(weights) @ of_truth).mean())

    blend = np.average(np.stack(scores), axis=0, weights=(0.5, 0.3, 0.2))
    assert loss((0.5, 0.3, 0.2)) == pytest.approx(log_loss(targets, blend, labels=range(4)))
    grid = [(a / 40, b / 40, (40 - a - b) / 40) for a in range(41) for b in range(41 - a)]
    best = min(grid, key=loss)
    weights = fit_method(Objective(TASK, "macro_f1", targets), scores, voting="weighted").weights
    assert loss(weights) <= loss(best)
    assert weights == pytest.approx(best, abs=0.05)


def test_two_candidates_make_the_best_mean_that_greedy_can_reach() -> None:
    """With two members every bag holds both: brute force over all counts up to 6 finds no better first steps."""
    scores, targets, _ = draw(300, [1.5, 1.0])
    weights = fit_method(Objective(TASK, "loss", targets), scores, voting="greedy").weights

    def value(counts: tuple[int, int]) -> float:
        return float(log_loss(targets, np.average(np.stack(scores), axis=0, weights=counts), labels=range(4)))

    counts, steps = (1, 0), [(1, 0), (0, 1)]
    while True:
        best = min(((counts[0] + a, counts[1] + b) for a, b in steps), key=value)
        if round(value(best), 6) >= round(value(counts), 6):
            break
        counts = best
    assert weights == pytest.approx((counts[0] / sum(counts), counts[1] / sum(counts)))


@pytest.mark.parametrize(
    "voting", ["weighted", *(pytest.param(each, marks=pytest.mark.slow) for each in ("greedy", "auto"))]
)
def test_random_labels_are_estimated_at_chance(voting: str) -> None:
    values, flattered = [], []
    for seed in range(12):
        scores, targets, folds = draw(100, [0.0, 0.0, 0.0], seed=seed)
        judged = estimate(
            Objective(TASK, "balanced_accuracy", targets),
            as_members(scores),
            folds,
            voting=voting,
            bootstrap=Bootstrap(seed=seed, samples=0),
        )
        values.append(judged.metrics["balanced_accuracy"])
        own, predictions = judged.combiner.apply(TASK, scores)
        flattered.append(TASK.evaluate(own, predictions, targets)["balanced_accuracy"])
    standard_error = np.std(values) / np.sqrt(len(values))
    assert abs(np.mean(values) - 0.25) < 3 * standard_error
    assert np.mean(flattered) > 0.25 + 3 * standard_error, "the data must be such that a leak would show"


@pytest.mark.slow
def test_the_choice_of_a_method_is_evaluated_on_other_rows() -> None:
    """On random labels the best of the compared methods is above the estimate on average: that is what auto avoids."""
    best, honest = [], []
    for seed in range(12):
        scores, targets, folds = draw(80, [0.0, 0.0, 0.0], seed=100 + seed)
        judged = estimate(
            Objective(TASK, "accuracy", targets),
            as_members(scores),
            folds,
            voting="auto",
            bootstrap=Bootstrap(samples=0),
        )
        assert set(judged.compared) == set(methods_for(TASK, "accuracy"))
        best.append(max(judged.compared.values()))
        honest.append(judged.metrics["accuracy"])
    assert np.mean(best) > np.mean(honest) + 0.005


@pytest.mark.parametrize("voting", ["weighted", "greedy", "rank", "auto"])
@pytest.mark.parametrize("fold", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_labels_of_a_fold_do_not_reach_anything_evaluated_on_it(voting: str, fold: int) -> None:
    scores, targets, folds = draw(150, [1.0, 0.7, 0.4])
    metric = "auroc" if voting == "rank" else "macro_f1"
    corrupted = np.where(folds == fold, (targets + 1) % 4, targets)
    members = as_members(scores)
    before, after = (
        estimate(Objective(TASK, metric, each), members, folds, voting=voting, bootstrap=Bootstrap(samples=0))
        for each in (targets, corrupted)
    )
    held_out = folds == fold
    np.testing.assert_array_equal(before.predictions[held_out], after.predictions[held_out])
    np.testing.assert_array_equal(before.scores[held_out], after.scores[held_out])
    if voting != "rank":  # which no label enters
        assert (before.predictions[~held_out] != after.predictions[~held_out]).any()


@pytest.mark.parametrize(
    ("metric", "voting"), [(metric, voting) for metric in ("macro_f1", "auroc") for voting in methods_for(TASK, metric)]
)
def test_order_of_members_and_rows_changes_nothing(metric: str, voting: str) -> None:
    scores, targets, _ = draw(200, [1.2, 1.0, 0.8, 0.0])
    objective = Objective(TASK, metric, targets)
    expected = fit_method(objective, scores, voting=voting, seed=3)
    answer, predictions = expected.apply(TASK, scores)

    places = [2, 0, 3, 1]
    turned = fit_method(objective, [scores[place] for place in places], voting=voting, seed=3)
    assert turned.weights == pytest.approx([expected.weights[place] for place in places], abs=1e-6)
    found = turned.apply(TASK, [scores[place] for place in places])
    np.testing.assert_allclose(found[0], answer, atol=1e-6)
    np.testing.assert_array_equal(found[1], predictions)

    order = np.random.default_rng(1).permutation(len(targets))
    moved = fit_method(objective.select(order), [each[order] for each in scores], voting=voting, seed=3)
    assert moved.weights == pytest.approx(expected.weights, abs=1e-6)
    np.testing.assert_allclose(moved.apply(TASK, scores)[0], answer, atol=1e-6)
    np.testing.assert_array_equal(moved.apply(TASK, scores)[1], predictions)

    batches = [expected.apply(TASK, [each[part] for each in scores]) for part in (slice(0, 7), slice(7, 200))]
    np.testing.assert_allclose(np.concatenate([part for part, _ in batches]), answer, atol=1e-12)
    np.testing.assert_array_equal(np.concatenate([part for _, part in batches]), predictions)


def test_a_stored_combiner_predicts_as_the_fitted_one() -> None:
    scores, targets, _ = draw(120, [1.0, 0.8, 0.6])
    for voting in METHODS:
        fitted = fit_method(Objective(TASK, "auroc", targets), scores, voting=voting, min_votes=2)
        assert (fitted.min_votes == 2) == (voting == "hard")
        again = EnsembleCombiner.from_dict(json.loads(json.dumps(fitted.to_dict())))
        for one, other in zip(fitted.apply(TASK, scores), again.apply(TASK, scores), strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_ensemble_stored_without_weights_has_equal_ones() -> None:
    stored = {"voting": "soft", "min_votes": None, "postprocess": {}, "member_postprocess": [], "members": [{}] * 4}
    assert EnsembleCombiner.from_dict(stored).weights == (0.25,) * 4


def test_rank_averaging_is_that_of_the_ranks_and_helps_where_scales_differ() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(2, size=3000)
    informed = [targets + rng.normal(size=3000) for _ in range(2)]
    scores = [expit(0.02 * informed[0]), expit(4.0 * informed[1])]
    folds = rng.permutation(3000) % 3
    judged, soft = (
        estimate(
            Objective(BINARY, "auroc", targets), as_members(scores), folds, voting=each, bootstrap=Bootstrap(samples=0)
        )
        for each in ("rank", "soft")
    )
    ranks = np.mean([each.argsort().argsort() for each in scores], axis=0)
    assert judged.metrics["auroc"] == pytest.approx(roc_auc_score(targets, ranks), abs=0.002)
    assert judged.metrics["auroc"] > soft.metrics["auroc"] + 0.02
    assert judged.scores.min() >= 0
    assert judged.scores.max() <= 1
    auto = estimate(
        Objective(BINARY, "auroc", targets), as_members(scores), folds, voting="auto", bootstrap=Bootstrap(samples=0)
    )
    assert auto.combiner.voting == "rank"
    assert auto.compared["rank"] == pytest.approx(judged.metrics["auroc"])


def test_auto_takes_the_simplest_of_equals() -> None:
    scores, targets, folds = draw(120, [2.0])
    judged = estimate(
        Objective(TASK, "macro_f1", targets), as_members(scores), folds, voting="auto", bootstrap=Bootstrap(samples=0)
    )
    assert len(set(judged.compared.values())) == 1
    assert judged.combiner.voting == "soft"


def test_auto_works_on_two_folds() -> None:
    scores, targets, folds = draw(120, [2.0, 0.0, 0.0, 0.0])
    judged = estimate(
        Objective(TASK, "macro_f1", targets),
        as_members(scores),
        folds % 2,
        voting="auto",
        bootstrap=Bootstrap(samples=0),
    )
    assert judged.combiner.voting in ("weighted", "greedy")
    soft = estimate(
        Objective(TASK, "macro_f1", targets),
        as_members(scores),
        folds % 2,
        voting="soft",
        bootstrap=Bootstrap(samples=0),
    )
    assert judged.metrics["macro_f1"] > soft.metrics["macro_f1"]


def test_interval_and_gain_surround_their_figures() -> None:
    scores, targets, folds = draw(300, [1.5, 1.5, 1.5])
    judged = estimate(
        Objective(TASK, "macro_f1", targets), as_members(scores), folds, voting="soft", bootstrap=Bootstrap(samples=200)
    )
    assert judged.interval.low < judged.interval.value == judged.metrics["macro_f1"] < judged.interval.high
    assert judged.gain.value == pytest.approx(judged.metrics["macro_f1"] - max(judged.member_values))
    assert 0 < judged.gain.low < judged.gain.value < judged.gain.high


def test_votes_count_members_of_positive_weight() -> None:
    scores = [np.array([[0.9, 0.1, 0.0, 0.0]]), np.array([[0.2, 0.8, 0.0, 0.0]]), np.array([[0.7, 0.3, 0.0, 0.0]])]
    combiner = EnsembleCombiner("weighted", None, (0.5, 0.5, 0.0), {})
    _, predictions = combiner.apply(TASK, scores)
    assert predictions.tolist() == [0]
    assert combiner.votes(TASK, scores, predictions).tolist() == [1]
    assert EnsembleCombiner("soft", None, (1 / 3,) * 3, {}).votes(TASK, scores, predictions).tolist() == [2]


def test_in_a_hard_vote_each_member_has_its_own_post_processing() -> None:
    scores, targets, _ = draw(150, [1.0, 0.6])
    fitted = fit_method(Objective(TASK, "balanced_accuracy", targets), scores, voting="hard")
    own = [TASK.fit_postprocess(each, targets, "balanced_accuracy") for each in scores]
    assert own[0] != own[1]
    assert list(fitted.member_postprocess) == own


@pytest.mark.parametrize("voting", ["weighted", "greedy"])
def test_scores_of_a_member_without_weight_need_not_be_numbers(voting: str) -> None:
    scores, _, _ = draw(20, [1.0])
    found, _ = EnsembleCombiner(voting, None, (0.0, 1.0), {}).apply(TASK, [np.full((20, 4), np.nan), scores[0]])
    np.testing.assert_allclose(found, scores[0])


@pytest.mark.parametrize("voting", ["soft", "hard", "greedy"])
def test_thresholds_for_means_of_fold_models_keep_more_of_the_positives(voting: str) -> None:
    rng = np.random.default_rng(0)
    targets = (rng.random(3000) < 0.1).astype(np.int64)
    easy = 2.0 * targets - 3.0 + rng.normal(size=3000)
    models = expit(easy + 1.5 * rng.normal(size=(2, 5, 3000)))  # member x fold model x row
    out_of_fold, means = list(models[:, 0, :1500]), list(models[:, :, 1500:].mean(axis=1))
    combiner = fit_method(Objective(BINARY, "f1", targets[:1500]), out_of_fold, voting=voting)
    adapted = combiner.with_adapted_thresholds(BINARY, out_of_fold, means)
    before, after = (each.apply(BINARY, means)[1].mean() for each in (combiner, adapted))
    share = combiner.apply(BINARY, out_of_fold)[1].mean()
    assert before < after < share + 0.01


def test_what_a_vote_cannot_be() -> None:
    with pytest.raises(InputError, match=r"rank: task multiclass can average ranks only .*auroc.*not for macro_f1"):
        check_voting(TASK, "macro_f1", "rank", 3)
    with pytest.raises(InputError, match="did you mean 'greedy'"):
        check_voting(TASK, "macro_f1", "greddy", 3)
    with pytest.raises(InputError, match="min_votes 4: each of 3 configurations has one vote; give 1 to 3"):
        check_voting(TASK, "macro_f1", "hard", 3, 4)
    with pytest.raises(InputError, match="only a hard vote counts votes"):
        check_voting(TASK, "macro_f1", "soft", 3, 2)
    for task, metric in itertools.product((TASK, BINARY, LABELS), ("auroc", "macro_f1")):
        for voting in (*methods_for(task, metric), "auto"):
            check_voting(task, metric, voting, 1)
    assert "rank" in methods_for(LABELS, "map")


@pytest.mark.parametrize("task", [BINARY, LABELS])
@pytest.mark.parametrize("voting", ["weighted", "greedy", "hard"])
def test_other_kinds_of_task_vote_the_same_way(task: Task, voting: str) -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(2, size=200 if task is BINARY else (200, 3))
    good = expit(3.0 * targets - 1.5 + rng.normal(size=targets.shape))
    scores = [good, rng.random(targets.shape), rng.random(targets.shape)]
    folds = rng.permutation(200) % 4
    judged = estimate(
        Objective(task, "macro_f1", targets), as_members(scores), folds, voting=voting, bootstrap=Bootstrap(samples=0)
    )
    assert judged.predictions.shape == targets.shape
    if voting != "hard":
        assert judged.combiner.weights[0] > 0.8
        assert judged.metrics["macro_f1"] > max(judged.member_values) - 0.03


def test_a_fixed_sample_of_very_many_rows_is_used_in_any_order() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random((2, MAX_ELEMENTS, 4))
    chosen = choose_rows(scores)
    assert len(chosen) == MAX_ELEMENTS // 4
    assert abs(chosen.mean() / MAX_ELEMENTS - 0.5) < 0.01, "spread over all rows"
    assert abs(scores[:, chosen].mean() - 0.5) < 0.01, "whatever the scores"
    order = rng.permutation(MAX_ELEMENTS)
    assert set(order[choose_rows(scores[::-1, order])].tolist()) == set(chosen.tolist())
    assert set(choose_rows(scores, seed=1).tolist()) != set(chosen.tolist())
    assert choose_rows(scores[:, :100]).tolist() == list(range(100))


def estimates_with_and_without_fixed(metric: str, voting: str) -> tuple[Estimate, Estimate]:
    """Of the same vote: one is given FIXED, the other nothing."""
    scores, targets, folds = draw(150, (1.0, 0.8, 0.5))
    members = [Member(f"{place:04d}", own, ()) for place, own in enumerate(scores)]
    given, plain = (
        estimate(
            Objective(TASK, metric, targets),
            members,
            folds,
            voting=voting,
            bootstrap=Bootstrap(samples=0),
            fixed=fixed,
        )
        for fixed in (FIXED, None)
    )
    return given, plain


@pytest.mark.parametrize("voting", [*methods_for(TASK, "loss"), "auto"])
def test_where_nothing_is_fitted_a_given_post_processing_predicts(voting: str) -> None:
    given, plain = estimates_with_and_without_fixed("loss", voting)
    assert given.combiner.postprocess == FIXED
    np.testing.assert_array_equal(given.scores, plain.scores)
    if given.combiner.voting == "hard":
        assert given.combiner.member_postprocess == (FIXED,) * 3
    else:
        np.testing.assert_array_equal(given.predictions, TASK.predict(given.scores, FIXED))
        np.testing.assert_array_equal(plain.predictions, given.scores.argmax(axis=1))
    assert (given.predictions != plain.predictions).any()


@pytest.mark.parametrize("voting", [*METHODS[:4], "auto"])
@pytest.mark.parametrize("metric", ["macro_f1", "loss"])
def test_what_the_user_fixed_stays_fixed(voting: str, metric: str) -> None:
    scores, targets, folds = draw(150, (1.0, 0.8, 0.5))
    members = [Member(f"{place:04d}", own, ()) for place, own in enumerate(scores)]
    objective = Objective(TASK, metric, targets)
    judged = estimate(objective, members, folds, voting=voting, bootstrap=Bootstrap(samples=0), fixed=FIXED)
    assert judged.combiner.postprocess == FIXED
    assert set(map(str, judged.combiner.member_postprocess)) <= {str(FIXED)}
    alone = [objective.value(own, TASK.predict(own, FIXED)) for own in scores]
    assert judged.member_values == pytest.approx(alone)
    if judged.combiner.voting != "hard":
        np.testing.assert_array_equal(judged.predictions, TASK.predict(judged.scores, FIXED))


def test_greedy_fits_a_function_of_the_users_once(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "import numpy as np\n\ncalls = []\n\n\ndef recall(targets, predictions):\n    calls.append(1)\n"
        "    return float(np.mean([(predictions[targets == c] == c).mean() for c in np.unique(targets)]))\n"
    )
    function = MetricFunction.read(tmp_path / "own.py", "recall")
    task = with_metrics(TASK, [function])
    members, targets, _ = draw(300, (2.0, 1.0, 0.2))
    fitted = fit_method(Objective(task, "recall", targets), members, voting="greedy")
    calls = len(sys.modules[f"foldtune_metric_{function.digest[:16]}"].calls)
    assert calls < 2500  # a fit of every mean would take a hundred thousand
    assert fitted.weights[0] > 0.4
    assert fitted.weights[2] < 0.2
