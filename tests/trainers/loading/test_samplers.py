from __future__ import annotations

import numpy as np
import pytest

from foldtune.trainers.loading.samplers import SAMPLERS, BalancedSampler, ImbalancedSampler, Sampler, build_sampler

CLASSES = np.repeat([0, 1, 2], [300, 60, 6])
ROWS = np.random.default_rng(0).permutation(1000)[: len(CLASSES)]


@pytest.mark.parametrize("name", SAMPLERS)
def test_an_order_has_the_rows_of_an_epoch_and_follows_from_epoch_and_seed(name: str) -> None:
    sampler = build_sampler(name)
    first = sampler.order(ROWS, CLASSES, epoch=1, seed=0)
    assert len(first) == sampler.epoch_size(CLASSES)
    assert np.isin(first, ROWS).all()
    assert np.array_equal(first, sampler.order(ROWS, CLASSES, epoch=1, seed=0))
    assert not np.array_equal(first, sampler.order(ROWS, CLASSES, epoch=2, seed=0))
    assert not np.array_equal(first, sampler.order(ROWS, CLASSES, epoch=1, seed=1))


@pytest.mark.parametrize("sampler", [build_sampler("none"), BalancedSampler(0.0), ImbalancedSampler(0.0)])
def test_without_strength_every_row_comes_once(sampler: Sampler) -> None:
    order = sampler.order(ROWS, CLASSES, epoch=3, seed=5)
    assert np.array_equal(np.sort(order), np.sort(ROWS))
    assert not np.array_equal(order, ROWS)


@pytest.mark.parametrize("strength", [0.25, 0.5, 1.0])
def test_classes_get_shares_by_their_size_to_one_minus_strength(strength: float) -> None:
    class_of = dict(zip(ROWS, CLASSES, strict=True))
    sampler = BalancedSampler(strength)
    counts = np.zeros(3)
    for epoch in range(200):
        order = sampler.order(ROWS, CLASSES, epoch=epoch, seed=0)
        counts += np.bincount([class_of[row] for row in order], minlength=3)
    share = np.array([300, 60, 6]) ** (1 - strength)
    expected = share / share.sum() * len(ROWS) * 200
    assert np.allclose(counts, expected, rtol=0.02)


def test_rows_of_a_class_come_equally_often_to_within_one() -> None:
    order = BalancedSampler(1.0).order(ROWS, CLASSES, epoch=0, seed=0)
    visits = np.array([(order == row).sum() for row in ROWS])
    for c in range(3):
        assert np.ptp(visits[c == CLASSES]) <= 1
    assert visits[CLASSES == 2].min() >= 20  # 122 visits to 6 rows


@pytest.mark.parametrize(
    ("strength", "expected"),
    # The geometric mean of 300, 60 and 6 is 47.62; in between 300^.5·47.62^.5 = 119.5 and so on.
    [(0.0, [300, 60, 6]), (0.5, [120, 53, 17]), (1.0, [48, 48, 48])],
)
def test_imbalanced_takes_from_large_classes_and_gives_to_small_ones(strength: float, expected: list[int]) -> None:
    class_of = dict(zip(ROWS, CLASSES, strict=True))
    sampler = ImbalancedSampler(strength)
    for epoch in range(5):
        order = sampler.order(ROWS, CLASSES, epoch=epoch, seed=0)
        assert np.bincount([class_of[row] for row in order]).tolist() == expected
    assert sampler.epoch_size(CLASSES) == sum(expected)


def test_imbalanced_repeats_no_row_of_a_large_class_and_changes_them() -> None:
    seen = []
    for epoch in range(60):
        order = ImbalancedSampler(1.0).order(ROWS, CLASSES, epoch=epoch, seed=0)
        large = order[np.isin(order, ROWS[CLASSES == 0])]
        assert len(np.unique(large)) == len(large) == 48
        small = np.unique(order[np.isin(order, ROWS[CLASSES == 2])], return_counts=True)[1]
        assert small.tolist() == [8] * 6
        seen.append(large)
    assert len(np.unique(seen)) == 300


def test_imbalanced_keeps_a_row_of_every_class_and_stands_gaps() -> None:
    classes = np.array([3] * 1000 + [9])
    assert ImbalancedSampler(1.0).epoch_size(classes) == 2 * 32
    assert 1000 in ImbalancedSampler(0.1).order(np.arange(1001), classes, 0, 0)
    assert np.array_equal(np.sort(ImbalancedSampler(1.0).order(np.arange(5), np.zeros(5, int), 0, 0)), np.arange(5))


def test_class_numbers_may_have_gaps_and_one_class_is_enough() -> None:
    assert len(BalancedSampler(1.0).order(np.arange(5), np.array([0, 7, 7, 7, 9]), 0, 0)) == 5
    assert np.array_equal(np.sort(BalancedSampler(1.0).order(np.arange(5), np.zeros(5, int), 0, 0)), np.arange(5))


def test_an_unknown_sampler_is_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'balanced'"):
        build_sampler("balance")
