"""A run that version 0.1.0 wrote opens, predicts, votes again and goes on in this version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldtune.trainers.data.digits import write_digits

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

STORED = Path(__file__).resolve().parents[1] / "stored_runs/v0_1_0"
CLASSES, ROWS, TO_SUBMIT = 4, 30, 20
KERNELS = 1e-3
"""Largest difference of a score between two CPUs' convolutions."""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with the digits that the run was made of, and a copy of the run."""
    home = tmp_path_factory.mktemp("stored")
    digits = home / "digits"
    write_digits(digits)
    train = pd.read_csv(digits / "train.csv", dtype=str)
    common = train[train["label"].isin(train["label"].value_counts().index[:CLASSES])]
    common.groupby("label").head(ROWS).to_csv(digits / "train.csv", index=False)
    pd.read_csv(digits / "test.csv", dtype=str).head(TO_SUBMIT).to_csv(digits / "test.csv", index=False)
    shutil.copytree(STORED / "runs", home / "runs")
    shutil.copy(STORED / "stored.yaml", home)
    config = home / "runs/stored/config.yaml"
    config.write_text(config.read_text().replace("{FOLDER}", str(home)))
    return home


@pytest.fixture
def command(foldtune_in: Callable[..., Any], home: Path) -> Callable[..., str]:
    """command(argument, …) -> stdout of the command in `home`."""
    return lambda *arguments: str(foldtune_in(home, *arguments).stdout)


def test_it_is_shown(command: Callable[..., str]) -> None:
    rows = json.loads(command("results", "stored", "--format", "json"))
    stored = pd.read_csv(STORED / "runs/stored/leaderboard.csv", dtype={"trial_id": str})
    assert [row["trial_id"] for row in rows] == stored["trial_id"].tolist()
    assert [row["macro_f1"] for row in rows] == pytest.approx(stored["macro_f1"].tolist(), nan_ok=True)
    assert "stored" in command("runs")


def test_its_ensemble_predicts_what_it_predicted(command: Callable[..., str], home: Path) -> None:
    command("predict", "stored/ensemble", "digits/images", "--output", "predictions.csv")
    then, now = (pd.read_csv(folder / "predictions.csv") for folder in (STORED, home))
    assert list(now.columns) == list(then.columns)
    assert now["image"].tolist() == then["image"].tolist()
    scores = [name for name in then.columns if name.startswith("score_")]
    np.testing.assert_allclose(now[scores], then[scores], atol=KERNELS)
    stored = json.loads((STORED / "runs/stored/ensemble/ensemble.json").read_text())
    offsets = [stored["postprocess"]["offsets"][name.removeprefix("score_")] for name in scores]
    margins = np.sort(np.log(then[scores]) + offsets, axis=1)
    clear = margins[:, -1] - margins[:, -2] > 10 * KERNELS
    assert clear.mean() > 0.9
    assert (now["label"] == then["label"])[clear].all()


def test_it_votes_again_without_training(command: Callable[..., str], home: Path) -> None:
    markers = {path: path.stat().st_mtime_ns for path in (home / "runs").rglob("done.json")}
    command("ensemble", "stored", "--output", "submission.csv")
    assert (home / "submission.csv").read_bytes() == (STORED / "submission.csv").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in (home / "runs").rglob("done.json")} == markers


def test_it_goes_on(command: Callable[..., str], home: Path) -> None:
    before = pd.read_csv(home / "runs/stored/leaderboard.csv", dtype={"trial_id": str}).set_index("trial_id")
    command("search", "stored.yaml", "--resume", "--trials", "1")
    after = pd.read_csv(home / "runs/stored/leaderboard.csv", dtype={"trial_id": str}).set_index("trial_id")
    assert sorted(after.index) == ["0000", "0001", "0002", "0003"]
    columns: list[Any] = [name for name in before.columns if name != "rank"]
    pd.testing.assert_frame_equal(after.loc[before.index, columns], before[columns])
    assert after.loc["0003", "status"] in ("COMPLETE", "PRUNED")
