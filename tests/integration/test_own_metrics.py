"""Own metrics, costs and columns of metadata through search, ensemble and predict, in real workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldtune.results.records.measured_file import read_measured
from foldtune.results.runs.store import RunStore

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

FILE = """import numpy as np


def worst_recall(targets, predictions, labels):
    return float(min((predictions[targets == c] == c).mean() for c in range(len(labels))))
"""


def costs_of(labels: list[str]) -> list[list[float]]:
    return [[0.0 if i == j else 1.0 + 2.0 * i for j in range(len(labels))] for i in range(len(labels))]


@pytest.fixture(scope="module")
def folder(foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str]) -> Path:
    """A folder with a finished run `mine` of two trials, whose table has two columns beside the images."""
    folder: Path = foldtune.folder
    rng = np.random.default_rng(0)
    for name in ("train", "test"):
        table = pd.read_csv(folder / f"digits/{name}.csv", dtype=str)
        table["dose"] = [f"{value:.2f}" for value in rng.random(len(table))]
        table.loc[::7, "dose"] = ""
        table["pen"] = rng.choice(["fine", "broad"], len(table))
        if name == "test":
            table.loc[1, "dose"], table.loc[2, "pen"] = "9.5", "quill"
        table.to_csv(folder / f"digits/{name}.csv", index=False)
    (folder / "metrics.py").write_text(FILE)
    labels = sorted(pd.read_csv(folder / "digits/train.csv", dtype=str)["label"].unique())
    search = {"metric": "metrics.py:worst_recall", "costs": costs_of(labels), "num_samples": 2, "max_epochs": 2}
    space = {"lr": {"loguniform": [0.003, 0.03]}, "postprocess": "tuned", "channels_last": "auto"}
    data = {"test": "test.csv", "columns": {"dose": "number", "pen": "category"}}
    foldtune_in(folder, "search", write_search("mine", space, top=2, search=search, data=data))
    return folder


def test_trials_ensemble_and_predictions(folder: Path, foldtune_in: Callable[..., Any]) -> None:
    board = pd.read_csv(folder / "runs/mine/leaderboard.csv", dtype={"trial_id": str})
    assert list(board.columns[3:5]) == ["worst_recall", "worst_recall_tuned"]
    assert board["worst_recall"].between(0, 1).all()
    assert board["cost"].gt(0).all()
    done = foldtune_in(folder, "ensemble", "mine", "--voting", "auto", "--format", "json")
    described = json.loads(done.stdout)
    assert described["metric"] == "worst_recall"
    assert list(described["compared"]) == ["soft", "hard", "weighted", "greedy", "stack"]
    oof = RunStore(folder / "runs/mine").ensemble.read_oof()
    assert oof is not None
    targets, predictions = oof["targets"], oof["predictions"]
    by_hand = min((predictions[targets == c] == c).mean() for c in np.unique(targets))
    assert described["estimate"]["worst_recall"] == pytest.approx(by_hand)
    matrix = np.array(costs_of(described["task"]["labels"]))
    assert described["estimate"]["cost"] == pytest.approx(matrix[targets, predictions].mean())
    store = RunStore(folder / "runs/mine")
    timed = read_measured(store.root)
    assert timed is not None
    assert {(each.amp, each.channels_last) for each in timed.formats[0].speeds} == {("off", True), ("off", False)}
    layouts = {str(record.config["channels_last"]) for record in store.trials()}
    assert len(layouts) == 1
    assert layouts <= {"True", "False"}, "the same for all, and no longer auto"
    (folder / "metrics.py").rename(folder / "moved.py")
    foldtune_in(folder, "thresholds", "mine", "--metric", "cost")
    copy = (folder / "runs/mine/metric.py").rename(folder / "copy.py")
    foldtune_in(folder, "predict", "mine", "digits/images", "--output", "predictions.csv")
    assert len(pd.read_csv(folder / "predictions.csv"))
    copy.rename(folder / "runs/mine/metric.py")
    (folder / "moved.py").rename(folder / "metrics.py")


def test_the_stacker_votes_and_predicts_with_columns_of_a_csv(folder: Path, foldtune_in: Callable[..., Any]) -> None:
    done = foldtune_in(folder, "ensemble", "mine", "--voting", "stack", "--format", "json")
    described = json.loads(done.stdout)
    assert "to submit: columns that training does not cover" in done.stderr
    assert described["voting"] == "stack"
    assert [each["name"] for each in described["stacker"]["columns"]] == ["dose", "pen"]
    stored = RunStore(folder / "runs/mine").ensemble.read_test()
    assert stored is not None
    by_id = dict(zip(stored["ids"].tolist(), stored["scores"], strict=True))
    predict = ("predict", "mine", "digits/test.csv", "--images", "digits/images", "--output", "predictions.csv")
    noted = " ".join(foldtune_in(folder, *predict).stderr.split())
    assert "dose of 1 row beyond 0 to" in noted
    assert "pen of 1 row ('quill') counts as no category" in noted
    labels = described["task"]["labels"]
    found = pd.read_csv(folder / "predictions.csv", dtype={"image": str}).set_index("image")
    own = found.loc[list(by_id), [f"score_{label}" for label in labels]].to_numpy()
    np.testing.assert_allclose(own, np.array(list(by_id.values())), atol=1e-5)
    alone = foldtune_in(folder, "predict", "mine", "digits/images", "--output", "without.csv")
    assert "takes dose, pen beside the images, all missing here" in alone.stderr
    apart = foldtune_in(
        folder, "predict", "mine", "digits/images", "--columns", "digits/test.csv", "--output", "apart.csv"
    )
    assert "missing here" not in apart.stderr
    again = pd.read_csv(folder / "apart.csv", dtype={"image": str}).set_index("image")
    np.testing.assert_allclose(
        again.loc[list(by_id), [f"score_{label}" for label in labels]].to_numpy(), own, atol=1e-5
    )
    foldtune_in(folder, "thresholds", "mine", "--ensemble", "--grid", "prior_power=0,1", "--submissions", "sweep")
