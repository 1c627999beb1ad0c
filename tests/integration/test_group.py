"""Two targets from one YAML with a real Ray: stopped in the first, resumed, ensembled, scored."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import yaml

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]


@pytest.mark.slow
@pytest.mark.parametrize("interrupted", [False, True])
def test_a_group_from_search_to_score(
    foldtune: Any, foldtune_in: Callable[..., Any], wait_for: Callable[..., Any], interrupted: bool
) -> None:
    digits = foldtune.folder / "digits"
    train = pd.read_csv(digits / "train.csv", dtype=str)
    train["odd"] = (train["label"].astype(int) % 2).map({0: "no", 1: "yes"})
    train.loc[:2, "odd"] = None
    train.to_csv(digits / "both.csv", index=False)
    labels = pd.read_csv(digits / "test_labels.csv", dtype=str)
    labels = labels[labels["label"].isin(train["label"])].head(20)
    labels["odd"] = (labels["label"].astype(int) % 2).map({0: "no", 1: "yes"})
    labels.to_csv(digits / "labels.csv", index=False)
    labels.assign(label="", odd="")[["image", "odd", "label"]].iloc[::-1].to_csv(digits / "sample.csv", index=False)
    name = "paused" if interrupted else "whole"
    config = {
        "name": name,
        "targets": {
            "label": {"task": "multiclass", "search": {"max_epochs": 15}},
            "odd": {"task": "binary", "space": {"lr": {"loguniform": [0.001, 0.01]}}},
        },
        "data": {
            "root": "digits",
            "train": "both.csv",
            "test": "labels.csv",
            "images": "images",
            "sample_submission": "sample.csv",
            "image_size": 32,
            "preprocess": "clahe",
        },
        "space": {
            "model_name": "test_resnet",
            "amp": "off",
            "channels_last": True,
            "batch_size": 32,
            "lr": {"loguniform": [0.001, 0.02]},
        },
        "search": {"num_samples": 2, "max_epochs": 1, "trial_scheduler": "none"},
        "resources": {"max_concurrent_trials": 1},
        "ensemble": {"top": 1, "folds": 2},
    }
    (foldtune.folder / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    runs = foldtune.folder / "runs"

    if interrupted:
        started = foldtune.start("search", f"{name}.yaml")
        first = runs / f"{name}.label/trials/0000/metrics.jsonl"
        wait_for(lambda: started.workers() and first.is_file(), "an epoch of the first target")
        started.interrupt()
        ended = started.end()
        assert ended.code == 130
        assert f"foldtune search {name}.yaml --resume" in ended.stderr
        wait_for(lambda: not started.left_behind(), "the end of Ray's processes")
        assert not (runs / f"{name}.odd").exists()

    resumed = foldtune_in(foldtune.folder, "search", f"{name}.yaml", *(["--resume"] if interrupted else []))
    assert resumed.stdout.count("best trial: ") == 2
    assert resumed.stderr.count("starting Ray") == 1
    assert "3 rows are left out: 3 with no label" in resumed.stderr
    rows = json.loads(foldtune_in(foldtune.folder, "results", name, "--format", "json").stdout)
    assert {target: [row["status"] for row in each] for target, each in rows.items()} == {
        "label": ["COMPLETE"] * 2,
        "odd": ["COMPLETE"] * 2,
    }

    foldtune_in(foldtune.folder, "ensemble", name, "--output", "out.csv")
    written = pd.read_csv(foldtune.folder / "out.csv", dtype=str)
    sample = pd.read_csv(digits / "sample.csv", dtype=str)
    assert list(written.columns) == ["image", "odd", "label"]
    assert written["image"].tolist() == sample["image"].tolist()
    assert set(written["odd"]) <= {"no", "yes"}
    description = json.loads((runs / f"{name}.odd/ensemble/ensemble.json").read_text())
    assert description["preprocess"] == [{"name": "clahe", "clip_limit": 2.0, "tile": 0}]

    figures = json.loads(
        foldtune_in(foldtune.folder, "score", name, "--labels", "digits/labels.csv", "--format", "json").stdout
    )
    merged = written.merge(labels, on="image", suffixes=("", "_true"))
    for target in ("label", "odd"):
        expected = (merged[target] == merged[f"{target}_true"]).mean()
        assert figures[target]["ensemble"]["accuracy"] == pytest.approx(expected)
