"""Cases of several images: rows, reductions and folds against pandas by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foldtune.errors import DataError
from foldtune.trainers.data.cases import CASE, fold_units, one_row_an_image, several_labels
from foldtune.trainers.data.folds import assign_folds
from foldtune.trainers.postprocess.case_scores import REDUCTIONS, Cases

SCIN = pd.DataFrame(
    {
        "case_id": ["-11", "7", "8"],
        "image_1_path": ["a.png", "d.png", np.nan],
        "image_2_path": ["b.png", np.nan, "e.png"],
        "label": ["x", "y", "x"],
    }
)
COLUMNS = ["image_1_path", "image_2_path"]


def test_a_row_of_several_images_becomes_a_row_each() -> None:
    long = one_row_an_image(SCIN, COLUMNS, "case_id", "t.csv")
    by_hand = SCIN.melt(["case_id", "label"], COLUMNS, value_name="image", ignore_index=False)
    by_hand = by_hand.rename(columns={"image": "image_1_path"})
    by_hand = by_hand.dropna(subset="image_1_path").sort_index(kind="stable").reset_index(drop=True)
    pd.testing.assert_frame_equal(
        long[["case_id", "label", "image_1_path"]], by_hand[long.columns.tolist()][["case_id", "label", "image_1_path"]]
    )
    assert one_row_an_image(SCIN, COLUMNS, None, "t.csv")[CASE].tolist() == ["a.png", "a.png", "d.png", "e.png"]


def test_a_case_without_an_image_is_named() -> None:
    frame = SCIN.assign(image_2_path=["b.png", "", " "])
    with pytest.raises(DataError, match=r"t.csv: 1 case has no image in columns .* \(data rows 3\)"):
        one_row_an_image(frame, COLUMNS, None, "t.csv")
    with pytest.raises(DataError, match="unknown column 'image_3_path'"):
        one_row_an_image(frame, [*COLUMNS, "image_3_path"], None, "t.csv")


def test_a_case_with_two_labels_is_named() -> None:
    cases = np.array(["p", "q", "p", "p"])
    assert several_labels(np.array([1, 0, 1, 1]), cases) == []
    (problem,) = several_labels(np.array([1, 0, 1, 0]), cases)
    assert problem.startswith("1 cases have several labels (first: 'p', data rows 1 and 4)")
    assert several_labels(np.array([[1, 0], [0, 0], [1, 1], [1, 0]]), cases)


@pytest.mark.parametrize("how", REDUCTIONS)
def test_reductions_are_those_of_pandas(how: str) -> None:
    rng = np.random.default_rng(0)
    scores, names = rng.random((40, 3)), rng.integers(0, 9, 40).astype(str)
    grouped = pd.DataFrame(scores).groupby(names, sort=False)
    by_hand = {
        "mean": grouped.mean,
        "max": grouped.max,
        "noisy_or": lambda: 1 - (1 - pd.DataFrame(scores)).groupby(names, sort=False).prod(),
    }[how]()
    cases = Cases.of(names)
    assert cases.names.tolist() == by_hand.index.tolist()
    assert np.allclose(cases.reduce(scores, how), by_hand.to_numpy())
    exclusive = cases.reduce(scores / scores.sum(axis=1, keepdims=True), how, exclusive=True)
    assert np.allclose(exclusive.sum(axis=1), 1)
    assert np.allclose(cases.reduce(scores[:, 0], how), by_hand[0].to_numpy())


small = st.integers(0, 7)


@given(st.lists(st.tuples(small, small), min_size=4, max_size=40))
def test_neither_a_case_nor_a_group_is_ever_split(rows: list[tuple[int, int]]) -> None:
    groups, cases = (np.array([str(row[place]) for row in rows]) for place in (0, 1))
    units = fold_units(groups, cases)
    frame = pd.DataFrame({"group": groups, "case": cases, "unit": units})
    assert frame.groupby("group").unit.nunique().max() == 1
    assert frame.groupby("case").unit.nunique().max() == 1
    if len(set(units)) > 1:
        folds = assign_folds(np.zeros(len(rows), dtype=int), units, 2, seed=0)
        assert frame.assign(fold=folds).groupby("case").fold.nunique().max() == 1


def test_real_eyes_of_a_patient(shared_data: Path) -> None:
    frame: Any = pd.read_csv(shared_data / "ham10000" / "train.csv").head(2000)
    assert fold_units(None, frame.lesion_id.to_numpy()).tolist() == frame.lesion_id.tolist()
