"""Figures on held-back labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import f1_score

from foldtune.errors import InputError
from foldtune.results.records.ranking import Goal
from foldtune.results.runs.store import RunStore
from foldtune.search.assess.scoring import score_ensemble
from foldtune.search.config.schema import RunConfig
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.search.runs.run import Run
from foldtune.trainers.tasks.binary import Binary
from foldtune.trainers.tasks.multiclass import Multiclass

TASK = Multiclass("dx", ("a", "b", "c"), (10, 10, 10))
IDS = ("1.png", "NA", "3.png", "4.png", "5.png")
LABELS = ("a", "b", "c", "b", "a")
PREDICTED, SINGLE = np.array([0, 1, 2, 1, 1]), np.array([0, 0, 2, 1, 1])


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A run with an ensemble that gets four of five rows right, and a single trial that gets three."""
    store = RunStore.create(tmp_path / "runs", "r")
    scores = np.random.default_rng(0).dirichlet([1, 1, 1], 5)
    store.ensemble.write_test(
        {
            "ids": np.array(IDS),
            "scores": scores,
            "predictions": PREDICTED,
            "single_scores": scores,
            "single_predictions": SINGLE,
        }
    )
    store.ensemble.write({"members": [{"trial_id": "0004"}]})
    data = DataConfig(train=Path("train.csv"), target="dx", id="picture")
    return Run(store, RunConfig(name="r", task="multiclass", data=data, space={}), TASK, Goal("macro_f1", "max"))


def write(path: Path, ids: tuple[str, ...] = IDS, labels: tuple[str, ...] = LABELS) -> Path:
    pd.DataFrame({"picture": ids, "dx": labels}).to_csv(path, index=False)
    return path


def test_figures_equal_those_of_scikit_learn(run: Run, tmp_path: Path) -> None:
    shuffled = [3, 1, 4, 0, 2]
    table = write(
        tmp_path / "labels.csv",
        (*(IDS[i] for i in shuffled), "of another set.png"),
        (*(LABELS[i] for i in shuffled), "a"),
    )
    figures = score_ensemble(run, table)
    truth = np.array(["abc".index(label) for label in LABELS])
    assert list(figures) == ["ensemble", "best single trial (0004)"]
    for name, predictions in zip(figures, (PREDICTED, SINGLE), strict=True):
        expected = f1_score(truth, predictions, average="macro", labels=range(3), zero_division=0)
        assert figures[name]["macro_f1"] == pytest.approx(expected)
        assert figures[name]["accuracy"] == pytest.approx((truth == predictions).mean())
        assert list(figures[name]) == list(TASK.metrics)


@pytest.mark.parametrize(
    ("ids", "labels", "words"),
    [
        (IDS[:-1], LABELS[:-1], ["1 test rows have no label", "5.png"]),
        ((*IDS, "NA"), (*LABELS, "b"), ["more than once", "NA"]),
        (IDS, ("a", "b", "c", "b", "d"), ["d"]),
        (IDS, ("a", "b", "c", "b", ""), ["empty"]),
    ],
)
def test_labels_that_do_not_fit(
    run: Run, tmp_path: Path, ids: tuple[str, ...], labels: tuple[str, ...], words: list[str]
) -> None:
    with pytest.raises(InputError) as raised:
        score_ensemble(run, write(tmp_path / "labels.csv", ids, labels))
    assert all(word in str(raised.value) for word in words)


def test_a_column_that_is_not_there(run: Run, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    pd.DataFrame({"image": IDS, "dx": LABELS}).to_csv(table, index=False)
    with pytest.raises(InputError, match="unknown column 'picture'"):
        score_ensemble(run, table)
    with pytest.raises(InputError, match="no such file"):
        score_ensemble(run, tmp_path / "absent.csv")


def test_a_run_without_an_ensemble(run: Run, tmp_path: Path) -> None:
    run.store.ensemble.test_path.unlink()
    with pytest.raises(InputError, match="foldtune ensemble makes one"):
        score_ensemble(run, write(tmp_path / "labels.csv"))


def test_the_single_trial_is_decided_as_the_ensemble_by_a_fitted_threshold(run: Run, tmp_path: Path) -> None:
    """Its rows of fold 0 are scored lower by 1 in logits, by which they were aligned before the fit."""
    truth = np.arange(300) % 3 == 0
    scores = np.where(truth, 0.3, 0.1) + np.linspace(0, 0.01, 300)
    of_fold = expit(logit(scores) - 1)
    raw = np.zeros(300, dtype=np.int64)
    ids = np.array([f"{row}.png" for row in range(300)])
    answers = {"predictions": truth.astype(np.int64), "single_predictions": raw}
    run.store.ensemble.write_test({"ids": ids, "scores": scores, "single_scores": of_fold, **answers})
    member = {"trial_id": "0004", "id": "0004", "fold_offsets": [[1.0], [0.0]]}
    run.store.ensemble.write({"members": [{"trial_id": "0003"}, member], "test_single": "0004", "metric": "f1"})
    labels = write(tmp_path / "labels.csv", tuple(ids.tolist()), tuple("ab"[int(each)] for each in truth))
    binary = replace(run, task=Binary("dx", ("a", "b")), goal=Goal("f1", "max"))
    notes: list[str] = []
    assert [each["f1"] for each in score_ensemble(binary, labels, notes.append).values()] == [1.0, 0.0]
    assert notes == [
        "trial 0004 is decided by its configuration's post-processing, not by a fitted one as the ensemble is: no "
        "out-of-fold scores of it are stored to fit one to"
    ]
    of_members = np.stack([1 - scores, scores])
    run.store.ensemble.write_oof({"member_scores": of_members, "targets": truth.astype(np.int64)})
    assert [each["f1"] for each in score_ensemble(binary, labels, notes.append).values()] == [1.0, 1.0]
    assert len(notes) == 1
