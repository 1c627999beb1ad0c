from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from foldtune.errors import DataError
from foldtune.trainers.data.folds import assign_folds, units_of_classes


def table(folds: npt.NDArray[np.int64], classes: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Rows of each class in each fold, (folds, classes)."""
    return pd.crosstab(folds, classes).to_numpy()


def test_every_class_is_spread_evenly() -> None:
    classes = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [100, 33, 7]))
    counts = table(assign_folds(classes, None, 5, seed=0), classes)
    assert counts.shape == (5, 3)
    assert (np.ptp(counts, axis=0) <= 1).all()


@pytest.mark.parametrize("shape", ["classes", "groups", "labels"])
def test_folds_follow_from_the_seed(shape: str) -> None:
    rng = np.random.default_rng(0)
    strata = rng.integers(0, 2, (200, 4)) if shape == "labels" else rng.integers(0, 3, 200)
    groups = rng.integers(0, 80, 200) if shape == "groups" else None
    first = assign_folds(strata, groups, 4, seed=3)
    assert np.array_equal(first, assign_folds(strata, groups, 4, seed=3))
    assert not np.array_equal(first, assign_folds(strata, groups, 4, seed=4))
    assert set(first) == {0, 1, 2, 3}


@pytest.mark.slow
def test_real_groups_stay_together_and_classes_in_proportion(shared_data: Path) -> None:
    frame = pd.read_csv(shared_data / "ham10000" / "train.csv")
    classes = pd.factorize(frame.dx, sort=True)[0]
    folds = assign_folds(classes, frame.lesion_id.to_numpy(), 5, seed=0)
    assert frame.assign(fold=folds).groupby("lesion_id").fold.nunique().max() == 1
    share = pd.crosstab(folds, classes, normalize="index").to_numpy()
    overall = np.bincount(classes) / len(classes)
    assert np.abs(share / overall - 1).max() < 0.12
    assert np.ptp(np.bincount(folds)) < 0.02 * len(frame)


def test_units_of_classes_are_their_rows_or_groups() -> None:
    classes, groups = np.array([0, 0, 1, 1, 1]), np.array(["p", "p", "p", "q", "r"])
    assert units_of_classes(classes, None, label_names=["a", "b"]) == {"a": 2, "b": 3}
    assert units_of_classes(np.eye(2, dtype=int)[classes], groups, label_names=["a", "b"]) == {"a": 1, "b": 3}


def test_a_small_class_of_few_groups_is_in_every_fold() -> None:
    rng = np.random.default_rng(1)
    groups = np.repeat(np.arange(150), rng.integers(1, 8, 150))
    classes = (groups >= 146).astype(int)  # four groups of the small class for four folds
    for seed in range(5):
        folds = assign_folds(classes, groups, 4, seed=seed)
        assert (table(folds, classes) > 0).all()
        assert pd.Series(folds).groupby(groups).nunique().max() == 1


@pytest.mark.parametrize("seed", range(3))
def test_a_large_group_is_placed_first_so_that_small_ones_make_up_for_it(seed: int) -> None:
    groups = np.concatenate([np.zeros(10, dtype=np.int64), np.arange(1, 21)])
    folds = assign_folds(np.ones((30, 1), dtype=np.int64), groups, 2, seed=seed)
    assert np.bincount(folds).tolist() == [15, 15]
    assert len(set(folds[:10])) == 1


def test_several_labels_are_stratified_better_than_by_chance(shared_data: Path) -> None:
    labels = pd.read_csv(shared_data / "mosaic" / "train.csv").labels.str.get_dummies("|").to_numpy()
    folds = assign_folds(labels, None, 5, seed=0)
    chance = np.random.default_rng(0).permutation(np.arange(len(labels)) % 5)

    def deviation(assigned: npt.NDArray[np.int64]) -> float:
        counts = np.stack([labels[assigned == fold].sum(axis=0) for fold in range(5)])
        return float(np.abs(counts / (labels.sum(axis=0) / 5) - 1).mean())

    assert deviation(folds) < 0.02
    assert deviation(folds) < deviation(chance) / 4
    assert np.ptp(np.bincount(folds)) < 0.02 * len(labels)


def test_several_labels_with_groups() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((600, 6)) < [0.5, 0.3, 0.2, 0.1, 0.05, 0.04]).astype(int)
    groups = rng.integers(0, 200, 600).astype(str)
    folds = assign_folds(labels, groups, 4, seed=0)
    assert pd.Series(folds).groupby(groups).nunique().max() == 1
    counts = np.stack([labels[folds == fold].sum(axis=0) for fold in range(4)])
    assert (counts > 0).all()
    assert np.abs(counts / (labels.sum(axis=0) / 4) - 1).max() < 0.35


def test_rows_without_any_label_are_spread_too() -> None:
    labels = np.zeros((100, 2), dtype=int)
    labels[:20, 0] = 1
    folds = assign_folds(labels, None, 5, seed=0)
    assert np.bincount(folds).tolist() == [20] * 5
    assert np.bincount(folds[:20]).tolist() == [4] * 5


def test_classes_with_too_few_rows_or_groups_are_named() -> None:
    classes = np.repeat([0, 1, 2], [50, 3, 2])
    with pytest.raises(DataError, match=r"2 classes have fewer rows than the 5 folds: bcc \(3\), df \(2\); use") as e:
        assign_folds(classes, None, 5, seed=0, label_names=["nv", "bcc", "df"])
    assert "merge" in str(e.value)
    groups = np.concatenate([np.arange(50), [50] * 5])
    with pytest.raises(DataError, match=r"fewer groups than the 2 folds: 1 \(1\)"):
        assign_folds(np.repeat([0, 1], [50, 5]), groups, 2, seed=0)
    labels = np.zeros((60, 2), dtype=int)
    labels[:30, 0], labels[:4, 1] = 1, 1
    with pytest.raises(DataError, match=r"b \(4\)"):
        assign_folds(labels, None, 5, seed=0, label_names=["a", "b"])


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        assign_folds(np.zeros(10), None, 1, seed=0)
    with pytest.raises(ValueError, match="0/1"):
        assign_folds(np.full((10, 2), 3), None, 2, seed=0)
    with pytest.raises(ValueError, match="groups"):
        assign_folds(np.zeros(10), np.zeros(9), 2, seed=0)
    with pytest.raises(DataError, match="3 rows cannot be split into 5 folds"):
        assign_folds(np.zeros(3), None, 5, seed=0)


@pytest.mark.parametrize(("groups", "by_weight"), [(["p", "p", "q", "r", "s"], False), (None, True)])
def test_what_leaves_a_rare_class_out_of_groups_and_weights_is_a_mapping(groups: Any, by_weight: bool) -> None:
    classes, units = np.array([0, 0, 1, 1, 1]), None if groups is None else np.array(groups)
    with pytest.raises(DataError) as caught:
        assign_folds(classes, units, 3, 0, label_names=["a b", "c"], by_weight=by_weight)
    text = str(caught.value)
    assert text.startswith("1 class has fewer")
    assert text.endswith('or leave rare ones out (data.target_map: {"a b": null, "*": "*"})')
