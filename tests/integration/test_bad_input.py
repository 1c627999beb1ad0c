"""Bad input that shows only once Ray and the trials run: resources, broken images, a full disk."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from foldtune.results.runs.store import RunStore

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SPACE = {"lr": {"loguniform": [1e-3, 1e-2]}}
SHORT = {"metric": "macro_f1", "num_samples": 1, "max_epochs": 1}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 7 MiB: room for the weights and the checkpoint of one trial, not of two."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=7m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_broken_images_then_too_many_gpus_then_neither(
    foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str]
) -> None:
    digits = foldtune.folder / "digits"
    table = pd.read_csv(digits / "train.csv", dtype=str)
    (digits / "images/zero.png").write_bytes(b"")
    (digits / "images/torn.png").write_bytes((digits / "images" / Path(table["image"][0]).name).read_bytes()[:90])
    label = table["label"][0]
    extra = pd.DataFrame({"image": ["zero.png", "torn.png"], "label": [label, label]})
    pd.concat([table, extra]).to_csv(digits / "broken.csv", index=False)
    config = write_search("broken", SPACE, search=SHORT, resources={"gpus_per_trial": 64})
    sets = ["--set", "data.train=broken.csv"]
    refused = foldtune_in(foldtune.folder, "search", config, *sets, code=2)
    assert "images cannot be decoded; repair them, or leave them out with data.on_broken: skip" in refused.stderr

    sets += ["--set", "data.on_broken=skip"]
    too_large = foldtune_in(foldtune.folder, "search", config, *sets, code=2)
    assert "2 images cannot be read and are left out: zero.png, torn.png" in too_large.stderr
    assert "a trial requests 1 CPUs and 64 GPUs; the largest of 1 node(s) has" in too_large.stderr
    assert "lower resources.cpus_per_trial or resources.gpus_per_trial" in too_large.stderr

    assert not (foldtune.folder / "runs").exists(), "a refused start leaves no folder"

    done = foldtune_in(foldtune.folder, "search", config, *sets, "--set", "resources.gpus_per_trial=0")
    assert done.stdout.rstrip().splitlines()[-1].startswith("best trial: 0000 macro_f1=")
    folds = RunStore.open("broken", foldtune.folder / "runs").read_folds()
    assert sorted(folds["id"]) == sorted(table["image"])


@pytest.mark.slow
def test_a_full_disk_ends_the_search_and_spoils_nothing(
    foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str], small_disk: Path
) -> None:
    search = {**SHORT, "num_samples": 6, "max_epochs": 2, "trial_scheduler": "none", "max_failed_trials": 2}
    config = write_search("full", SPACE, search=search, resources={"max_concurrent_trials": 1})
    ended = foldtune_in(foldtune.folder, "search", config, "--storage", str(small_disk), code=1)
    assert "the search was given up: 2 trials failed in a row" in ended.stderr
    assert "checkpoint.pt" in ended.stderr
    assert "the disk is full" in ended.stderr

    store = RunStore.open("full", small_disk)
    complete, *failed = store.trials()
    assert [record.status for record in (complete, *failed)] == ["COMPLETE", "FAIL", "FAIL"]
    assert all("the disk is full" in (record.error or "") for record in failed)
    scores = store.trial(complete.trial_id).read_scores()
    assert scores is not None
    assert np.isfinite(scores.logits).all()
    assert store.trial(complete.trial_id).weights_path.stat().st_size > 1e6
    assert not list(small_disk.rglob("*.tmp"))
    board = pd.read_csv(store.leaderboard_path, dtype=str)
    assert board["status"].tolist() == ["COMPLETE", "FAIL", "FAIL"]
    assert board["error"].str.contains("the disk is full").tolist()[1:] == [True, True]

    shown = foldtune_in(foldtune.folder, "results", "full", "--storage", str(small_disk))
    assert "the disk is full" in " ".join(shown.stdout.split())
