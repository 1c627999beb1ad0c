from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import rankdata

from foldtune.errors import SettingsError
from foldtune.trainers.arrays import voting
from foldtune.trainers.arrays.voting import check_voting, hard_vote, hard_vote_on, mean_scores, rank_reference, ranked

P = np.array(
    [
        [[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]],
        [[0.4, 0.5, 0.1], [0.3, 0.3, 0.4]],
        [[0.45, 0.35, 0.2], [0.1, 0.8, 0.1]],
    ]
)


def test_reference_votes() -> None:
    votes = P.argmax(axis=2)
    assert votes[:, 0].tolist() == [0, 1, 0]
    assert mean_scores(P)[0] == pytest.approx([0.45, 0.383333, 0.166667], abs=1e-5)
    assert mean_scores(P, [3, 1, 1])[0] == pytest.approx([0.47, 0.35, 0.18])
    assert hard_vote(votes, mean_scores(P)).tolist() == [0, 1]


def test_weights_need_not_sum_to_one_and_equal_weights_are_none() -> None:
    assert mean_scores(P, [0.3, 0.1, 0.1]) == pytest.approx(mean_scores(P, [3, 1, 1]))
    assert mean_scores(P, [2, 2, 2]) == pytest.approx(mean_scores(P))
    assert mean_scores(P, [0, 0, 1]) == pytest.approx(P[2])


def test_the_order_of_members_changes_not_one_bit() -> None:
    rng = np.random.default_rng(0)
    scores = rng.dirichlet(np.ones(4), (5, 50)).astype(np.float32)
    weights = rng.random(5)
    plain, weighted = mean_scores(scores), mean_scores(scores, weights.tolist())
    for order in itertools.permutations(range(5)):
        chosen = list(order)
        assert np.array_equal(mean_scores(scores[chosen]), plain)
        assert np.array_equal(mean_scores(scores[chosen], weights[chosen].tolist()), weighted)


def test_members_are_not_changed() -> None:
    scores = P.copy()
    mean_scores(scores, [3, 1, 1])
    assert np.array_equal(scores, P)


def test_a_tied_vote_goes_by_the_mean_score_among_the_tied() -> None:
    votes = np.array([[0], [1]])
    assert hard_vote(votes, np.array([[0.3, 0.34, 0.36]])).tolist() == [1]  # class 2 has no vote
    assert hard_vote(votes, np.array([[0.4, 0.4, 0.2]])).tolist() == [0]  # tied in everything: the lower


def test_a_tie_of_yes_and_no_goes_by_the_mean_score() -> None:
    votes = np.array([[1, 1, 0, 0], [0, 0, 0, 1]])
    soft = np.array([1, 0, 1, 0])
    assert hard_vote_on(votes, soft).tolist() == [1, 0, 0, 0]
    assert hard_vote_on(np.concatenate([votes, [[0, 1, 1, 1]]]), soft).tolist() == [0, 1, 0, 1]
    assert hard_vote_on(votes, soft, min_votes=1).tolist() == [1, 1, 0, 1]
    assert hard_vote_on(votes, soft, min_votes=2).tolist() == [0, 0, 0, 0]


def test_a_vote_equals_counting_by_hand() -> None:
    rng = np.random.default_rng(1)
    scores = rng.dirichlet(np.ones(4), (6, 200))
    votes, mean = scores.argmax(axis=2), mean_scores(scores)
    result = hard_vote(votes, mean)
    for row in range(200):
        counts = np.bincount(votes[:, row], minlength=4)
        tied = np.flatnonzero(counts == counts.max())
        assert result[row] == tied[mean[row, tied].argmax()]


def test_too_few_votes_leave_the_decision_to_the_mean_or_the_fallback() -> None:
    votes, mean = np.array([[0, 0], [1, 0], [2, 1]]), np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    assert hard_vote(votes, mean, min_votes=2).tolist() == [2, 0]
    assert hard_vote(votes, mean, min_votes=3).tolist() == [2, 1]
    assert hard_vote(votes, mean, min_votes=3, fallback=np.array([1, 2])).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "options", "path", "text"),
    [
        ("sofft", {}, "voting", "did you mean 'soft'"),
        ("weighted", {}, "weights", "needs a weight"),
        ("weighted", {"weights": [1, 2]}, "weights", "2 weights for 3 members"),
        ("weighted", {"weights": [1, 2, -1]}, "weights", ">= 0"),
        ("weighted", {"weights": [1, 2, float("nan")]}, "weights", "finite"),
        ("weighted", {"weights": [0, 0, 0]}, "weights", "not all 0"),
        ("soft", {"weights": [1, 2, 3]}, "weights", "takes none"),
        ("soft", {"min_votes": 2}, "min_votes", "counts no votes"),
        ("hard", {"min_votes": 4}, "min_votes", "1 to 3"),
        ("hard", {"min_votes": 0}, "min_votes", "1 to 3"),
    ],
)
def test_wrong_arguments_are_named(name: str, options: dict, path: str, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_voting(name, ("soft", "hard", "weighted"), 3, **options)
    assert [problem.path for problem in caught.value.problems] == [path]
    assert text in str(caught.value)


def test_a_vote_needs_a_member() -> None:
    with pytest.raises(SettingsError, match="at least one"):
        check_voting("soft", ("soft",), 0)


def test_a_mean_taken_in_parts_is_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).random((3, 101, 5)).astype(np.float32)
    whole = mean_scores(scores, [3, 1, 1])
    monkeypatch.setattr(voting, "_PART", 3 * 5 * 7)
    assert np.array_equal(mean_scores(scores, [3, 1, 1]), whole)
    assert whole == pytest.approx(np.average(scores, axis=0, weights=[3, 1, 1]), abs=1e-6)


def test_ranks_are_the_shares_of_rows_below() -> None:
    rng = np.random.default_rng(0)
    scores = rng.beta(0.3, 3.0, (2000, 2))
    ranks = ranked(scores, rank_reference(scores))
    assert ranks == pytest.approx((rankdata(scores, axis=0) - 0.5) / 2000, abs=0.003)
    order = scores[:, 0].argsort()
    assert (np.diff(ranks[order, 0]) > 0).all(), "different scores keep different ranks"
    new = ranked(np.array([[0.0, 1.0], [0.5, 0.5]]), rank_reference(scores))
    assert new[0].tolist() == [0.0, 1.0]
    assert np.array_equal(new[1:], ranked(np.array([[0.5, 0.5]]), rank_reference(scores))), "each row by itself"
    line = ranked(scores[:, 0], rank_reference(scores[:, 0]))
    assert np.array_equal(line, ranks[:, 0])
