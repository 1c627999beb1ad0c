"""Given splits: columns of folds and of splits, folds drawn around given ones, groups that are never split."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldtune.errors import DataError
from foldtune.trainers.data.folds import assign_folds
from foldtune.trainers.data.given_folds import (
    TO_ASSIGN,
    TRAIN_ONLY,
    check_groups,
    complete_folds,
    folds_of,
    splits_of,
)
from foldtune.trainers.data.table import group_names


def test_folds_are_numbered_in_the_order_of_their_values() -> None:
    folds, problems = folds_of(pd.Series(["10", "2.0", "-1", "2", " 1"], name="fold"))
    assert (folds.tolist(), problems) == ([2, 1, TRAIN_ONLY, 1, 0], [])
    assert folds_of(pd.Series(["b", "a", "b"], name="fold"))[0].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (["0", "", "1"], "column 'fold' is empty in 1 rows (data rows 2)"),
        (["3", "3", "3"], "column 'fold' has one fold alone (3)"),
        (["-1", "-1", "-1"], "column 'fold' has no folds"),
        ([str(fold) for fold in range(60)], "column 'fold' has 60 folds (0, 1, 2, 3, 4, …); at most 50"),
    ],
)
def test_what_is_no_column_of_folds(cells: list[str], problem: str) -> None:
    assert folds_of(pd.Series(cells, name="fold"))[1][0].startswith(problem)


def test_splits_in_any_spelling() -> None:
    splits, problems = splits_of(pd.Series(["Train", "VAL", "dev", "test ", "validation"], name="split"))
    assert (splits.tolist(), problems) == (["train", "valid", "valid", "test", "valid"], [])
    assert "unknown split 'vall'; did you mean 'val'?" in splits_of(pd.Series(["train", "vall"], name="split"))[1][0]


def test_folds_around_a_given_one_are_those_of_the_other_rows_alone() -> None:
    strata = np.random.default_rng(0).integers(0, 3, 120)
    parts = np.where(np.arange(120) % 4 == 0, 0, TO_ASSIGN)
    folds = complete_folds(strata, None, parts, 4, seed=1)
    assert (folds[parts == 0] == 0).all()
    assert np.array_equal(folds[parts != 0], assign_folds(strata[parts != 0], None, 3, seed=1) + 1)
    assert set(complete_folds(strata, None, parts, 1, seed=1).tolist()) == {0, TRAIN_ONLY}
    with pytest.raises(DataError, match="leave one for all other rows"):
        complete_folds(strata, None, parts, 2, seed=1)


spelled = st.sampled_from(["7", "7.0", " 7", "8", "p\u00e9", "pe\u0301", "pe\u0301 ", "q", "\u200bq"])


@given(st.lists(st.tuples(spelled, st.integers(0, 1), st.booleans()), min_size=1, max_size=60), st.integers(1, 4))
def test_no_group_is_split_whatever_its_spelling(rows: list[tuple[str, int, bool]], n_splits: int) -> None:
    groups = group_names([name for name, _, _ in rows])
    strata = np.array([label for _, label, _ in rows])
    parts = np.array([0 if valid else TO_ASSIGN for _, _, valid in rows])
    plain = ["7" if name.strip() in ("7", "7.0") else name.replace("e\u0301", "\u00e9") for name, _, _ in rows]
    plain = [name.strip().replace("\u200b", "") for name in plain]
    torn = pd.Series(parts).groupby(plain).nunique().max() > 1
    try:
        folds = complete_folds(strata, groups, parts, n_splits, seed=0)
    except DataError:
        return  # torn, or too few groups
    assert not torn
    assert pd.Series(folds).groupby(plain).nunique().max() == 1


def test_a_group_on_both_sides_is_named() -> None:
    with pytest.raises(DataError, match=r"1 groups .* \(first: 'b', in the training part and fold 0\)"):
        check_groups(np.array(["a", "b", "b"]), np.array([0, TO_ASSIGN, 0]))


@pytest.mark.slow
def test_real_lesions_stay_together(shared_data: Path) -> None:
    frame = pd.read_csv(shared_data / "ham10000" / "train.csv")
    rng = np.random.default_rng(0)
    lesions = frame.lesion_id.unique()
    chosen = set(rng.choice(lesions, len(lesions) // 5, replace=False))
    parts = np.where(frame.lesion_id.isin(chosen), 0, TO_ASSIGN)
    folds = complete_folds(pd.factorize(frame.dx)[0], frame.lesion_id.to_numpy(), parts, 4, seed=0)
    assert frame.assign(fold=folds).groupby("lesion_id").fold.nunique().max() == 1
    assert set(frame.lesion_id[folds == 0]) == chosen
