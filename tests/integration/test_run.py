"""`foldtune run` with a real Ray: the whole chain in one command, and in time."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from foldtune.trainers.data.digits import write_digits

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

Here = Callable[..., Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with few digits to train on and fewer to submit."""
    home = tmp_path_factory.mktemp("run")
    write_digits(home / "digits")
    train = pd.read_csv(home / "digits/train.csv", dtype=str)
    train.groupby("label").head(8).to_csv(home / "digits/train.csv", index=False)
    test = pd.read_csv(home / "digits/test.csv", dtype=str).head(20)
    test.to_csv(home / "digits/test.csv", index=False)
    return home


def config(home: Path, name: str, **sections: dict[str, Any]) -> Path:
    content: dict[str, Any] = {
        "name": name,
        "task": "multiclass",
        "data": {
            "root": "digits",
            "train": "train.csv",
            "test": "test.csv",
            "images": "images",
            "target": "label",
            "image_size": 32,
        },
        "space": {
            "model_name": "test_resnet",
            "amp": "off",
            "channels_last": True,
            "lr": {"loguniform": [0.003, 0.03]},
            "batch_size": 16,
            "augmentation": "none",
        },
        "search": {"metric": "macro_f1", "num_samples": 2, "max_epochs": 1, "trial_scheduler": "none"},
        "ensemble": {"top": 2, "folds": 2},
        "resources": {"cpus_per_trial": 2},
    }
    for section, values in sections.items():
        content[section] = {**content[section], **values}
    path = home / f"{name}.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def submitted(path: Path, home: Path) -> pd.DataFrame:
    """The submission, whose ids are those of the rows to submit."""
    frame = pd.read_csv(path, dtype=str)
    assert frame["image"].tolist() == pd.read_csv(home / "digits/test.csv", dtype=str)["image"].tolist()
    return frame


def test_one_command_from_the_table_to_submission_and_report(home: Path, foldtune_in: Here) -> None:
    done = foldtune_in(home, "run", config(home, "whole"), "--time-limit", "10m")
    run = home / "runs/whole"
    assert "alone, macro_f1" in done.stderr, "from the first finished trial on there is one"
    assert "of 10m 00s" in done.stderr.splitlines()[-1]
    described = json.loads((run / "ensemble/ensemble.json").read_text())
    assert [len(member["fold_values"]) for member in described["members"]] == [2, 2]
    assert "cuts" not in described
    submitted(run / "submission.csv", home)
    assert (run / "submission.csv").read_bytes() == (run / "ensemble/submission.csv").read_bytes()
    assert not (run / "provisional").exists()
    assert (run / "report/models.csv").is_file()


@pytest.mark.slow
def test_a_time_limit_is_kept_and_what_was_cut_is_named(home: Path, foldtune_in: Here) -> None:
    file = config(
        home, "limited", search={"num_samples": 1000, "max_epochs": 8, "trial_scheduler": "asha"}, ensemble={"top": 5}
    )
    begun_s = time.monotonic()
    done = foldtune_in(home, "run", file, "--time-limit", "60s", "-o", home / "limited.csv")
    assert time.monotonic() - begun_s <= 2 * 60  # 1,000 trials would take a quarter of an hour
    assert "the time limit ended the search after" in done.stderr
    submitted(home / "limited.csv", home)
    trials = [json.loads(path.read_text()) for path in (home / "runs/limited/trials").glob("*/trial.json")]
    assert {trial["status"] for trial in trials} <= {"COMPLETE", "PRUNED"}
    again = foldtune_in(home, "run", file, "--time-limit", "1s", "--resume", code=2)
    assert "used already" in again.stderr


@pytest.mark.slow
def test_a_search_ends_at_its_limit_and_goes_on_with_a_longer_one(home: Path, foldtune_in: Here) -> None:
    file = config(home, "searched", search={"num_samples": 1000, "max_epochs": 500, "trial_scheduler": "none"})
    foldtune_in(home, "search", file, "--time-limit", "40s")
    (trial,) = [json.loads(path.read_text()) for path in (home / "runs/searched/trials").glob("*/trial.json")]
    assert (trial["status"], trial["error"]) == ("PRUNED", "the time limit was reached")
    assert trial["epochs"] > 1
    refused = foldtune_in(home, "search", file, "--resume", code=2)
    assert "give --time-limit" in refused.stderr
    refused = foldtune_in(home, "ensemble", "searched", "--time-limit", "3s", code=2)
    assert "the least of them (2 folds, a third of the epochs, top: 1) take about" in refused.stderr
