"""Columns of 0, 1, -1 and blanks through search, ensemble and predict, in real workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from foldtune.results.runs.store import RunStore

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

LABELS = ["low", "even", "last"]


@pytest.fixture(scope="module")
def folder(foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str]) -> Path:
    """A folder with a finished run `unsure` of two trials, a fifth of whose cells is unknown."""
    folder: Path = foldtune.folder
    table = pd.read_csv(folder / "digits/train.csv", dtype=str)
    place = pd.factorize(table["label"], sort=True)[0]  # of four digits
    cells = np.where(np.stack([place < 2, place % 2 == 0, place == 3], axis=1), "1", "0").astype(object)
    drawn = np.random.default_rng(0).random(cells.shape)
    cells[drawn < 0.1], cells[drawn > 0.9] = "-1", ""
    unsure = pd.DataFrame({"image": table["image"], **dict(zip(LABELS, cells.T, strict=True))})
    unsure.to_csv(folder / "digits/unsure.csv", index=False)
    space = {"lr": {"loguniform": [0.003, 0.03]}, "loss": {"choice": {"bce": {}, "focal": {}}}}
    data = {"train": "unsure.csv", "target": LABELS, "uncertain": "ignore"}
    search = {"metric": "macro_f1", "num_samples": 2, "max_epochs": 2}
    path = folder / write_search("unsure", space, top=2, data=data, search=search)
    path.write_text(path.read_text().replace("task: multiclass", "task: multilabel"))
    foldtune_in(folder, "search", path)
    return folder


def test_unknown_cells_are_in_no_figure(folder: Path, foldtune_in: Callable[..., Any]) -> None:
    done = foldtune_in(folder, "ensemble", "unsure", "--voting", "auto", "--format", "json")
    described = json.loads(done.stdout)
    oof = RunStore(folder / "runs/unsure").ensemble.read_oof()
    assert oof is not None
    targets, predictions = oof["targets"], oof["predictions"]
    assert 0.1 < np.isnan(targets).mean() < 0.3
    known = ~np.isnan(targets)
    by_hand = [f1_score(t[k], p[k], zero_division=0) for t, p, k in zip(targets.T, predictions.T, known.T, strict=True)]
    assert described["estimate"]["macro_f1"] == pytest.approx(np.mean(by_hand))
    assert {row["label"]: row["support"] for row in described["per_class"]} == {
        label: int(np.nansum(column)) for label, column in zip(described["task"]["labels"], targets.T, strict=True)
    }
    foldtune_in(folder, "thresholds", "unsure")
    foldtune_in(folder, "predict", "unsure", "digits/images", "--output", "predictions.csv")
    assert {f"score_{label}" for label in LABELS} <= set(pd.read_csv(folder / "predictions.csv"))
