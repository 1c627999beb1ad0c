"""Columns that predict a class, by hand; and train and test that can, and cannot, be distinguished."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from foldtune.search.audit.association import class_shares, coded, explained
from foldtune.search.audit.columns import leak_notes, measure_shift, seen_shift_notes, shift_notes
from foldtune.search.audit.rows import AuditRows
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.trainers.tasks import get_task

N = 400


def rows(labels: np.ndarray, is_test: np.ndarray, groups: np.ndarray | None = None) -> AuditRows:
    import pandas as pd

    frame = pd.DataFrame({"label": labels[~is_test]})
    task = get_task("multiclass").from_frame(frame, "label")
    texts = np.where(is_test, "", labels).astype(object)
    return AuditRows(
        task,
        DataConfig(train=Path("train.csv"), target="label"),
        np.array([f"{row}.png" for row in range(len(labels))]),
        tuple(Path(f"{row}.png") for row in range(len(labels))),
        is_test,
        np.where(is_test, -1, np.arange(len(labels)) % 5),
        groups,
        texts,
        task.encode(frame),
    )


def test_shares_come_from_the_other_folds() -> None:
    codes, classes = np.array([1, 1, 1, 1]), np.array([0, 0, 0, 1])
    shares = class_shares(codes, classes, np.array([0, 0, 1, 1]))
    prior = np.array([2 / 4, 2 / 4])  # of fold 1: one of each, and one more of each
    assert shares[0] == pytest.approx((np.array([1, 1]) + 5 * prior) / 7)
    prior = np.array([3 / 4, 1 / 4])
    assert shares[2] == pytest.approx((np.array([2, 0]) + 5 * prior) / 7)
    assert np.isnan(class_shares(codes, classes, np.array([0, 0, 1, -1]))[3]).all()


def test_numbers_are_binned_and_texts_are_values() -> None:
    numbers = coded([str(value) for value in range(100)] + [""])
    assert numbers[-1] == 0
    assert len(set(numbers[:-1].tolist())) == 20
    assert coded(["1", "2", "", "x"]).tolist() == [1, 2, 0, 3]
    assert len(set(coded([f"v{value}" for value in range(1500)] * 2).tolist())) == 1001


def test_what_a_column_removes_of_the_uncertainty() -> None:
    rng = np.random.default_rng(0)
    classes = rng.integers(0, 3, N)
    folds = np.arange(N) % 5
    assert explained(classes + 1, classes, folds) > 0.85
    assert abs(explained(rng.integers(0, 3, N), classes, folds)) < 0.05
    assert explained(np.arange(N) + 1, classes, folds) == pytest.approx(0, abs=0.02)  # a name that occurs once
    noisy = np.where(rng.random(N) < 0.5, classes, rng.integers(0, 3, N))
    assert 0.1 < explained(noisy + 1, classes, folds) < 0.5


def test_a_leak_and_a_weak_column_are_named() -> None:
    rng = np.random.default_rng(0)
    labels = rng.choice(["a", "b", "c"], N)
    own = rows(labels, np.zeros(N, dtype=bool))
    weak = np.where(rng.random(N) < 0.4, labels, "a").astype(object)
    notes = leak_notes(own, {"site": rng.choice(["x", "y"], N).astype(object), "diagnosis": labels, "age": weak})
    assert notes[0].startswith("column 'diagnosis' nearly is the label: by itself it removes 9")
    assert notes[1].startswith("what single columns remove of the label's uncertainty, cross-fitted: diagnosis 9")
    assert "age" in notes[1]
    assert "site" not in " ".join(notes)


@pytest.mark.parametrize("shifted", [False, True])
def test_train_and_test_that_differ_in_one_column(shifted: bool) -> None:
    rng = np.random.default_rng(1)
    is_test = np.arange(N) >= 250
    camera = np.where(is_test & shifted & (rng.random(N) < 0.7), "new", "old").astype(object)
    own = rows(rng.choice(["a", "b"], N), is_test)
    shift = measure_shift(own, {"camera": camera, "width": rng.normal(size=N), "site": rng.choice(["x", "y"], N)})
    assert shift is not None
    (note,) = shift_notes(own, shift)
    if shifted:
        assert shift.auroc > 0.8
        assert max(shift.columns, key=lambda name: shift.columns[name]) == "camera"
        assert "train and test can be distinguished" in note
        assert "by camera 0.8" in note
    else:
        assert abs(shift.auroc - 0.5) < 0.1
        assert "cannot be distinguished" in note


def test_groups_of_the_training_rows_are_no_sign_of_the_set() -> None:
    rng = np.random.default_rng(2)
    lesions = np.repeat(np.arange(N // 4), 4)
    value = rng.normal(size=N // 4)[lesions]  # the same for each image of a lesion
    is_test = lesions >= 60
    groups = np.where(is_test, "", lesions.astype(str)).astype(object)
    grouped = measure_shift(rows(rng.choice(["a", "b"], N), is_test, groups), {"value": value})
    assert grouped is not None
    assert grouped.auroc < 0.75


def test_few_rows_to_submit_are_not_compared() -> None:
    is_test = np.arange(30) >= 25
    assert measure_shift(rows(np.array(["a", "b"] * 15), is_test), {"x": np.arange(30.0)}) is None


@pytest.mark.parametrize(("apart", "words"), [(0.0, "cannot be distinguished"), (4.0, "can be distinguished")])
def test_what_a_model_sees_in_rows_that_it_was_not_trained_on(apart: float, words: str) -> None:
    """Rows that it was trained on have other embeddings, which are no sign of the set."""
    rng = np.random.default_rng(0)
    is_test = np.arange(N) >= N // 2
    given = rows(rng.choice(["a", "b"], N), is_test)
    embeddings = rng.normal(size=(N, 8)) + 9.0 * (given.folds > 0)[:, None]
    embeddings[is_test, 3] += apart
    places = np.arange(N)
    (line,) = seen_shift_notes(given, places, embeddings.astype(np.float32))
    assert words in line
    assert seen_shift_notes(given, places[:5], embeddings[:5].astype(np.float32)) == ()
