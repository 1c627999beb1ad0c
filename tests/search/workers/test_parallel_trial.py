"""A worker whose trials are trained by several processes: they stay from trial to trial, and a trial outlives them."""

from __future__ import annotations

import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from foldtune.errors import ProcessLost
from foldtune.results.runs.store import RunStore
from foldtune.search.config.loading import check
from foldtune.search.data.dataset import Labelled, image_plan, read_labelled
from foldtune.search.data.given_splits import split
from foldtune.search.workers.trainable import TRIAL_KEY, TrialTrainable
from foldtune.search.workers.training import TrialWork

EPOCHS = 2


@pytest.fixture
def work(project: Any, monkeypatch: pytest.MonkeyPatch) -> TrialWork:
    """A search of two trials with two processes each; `0002` is the first once more."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    config = check(yaml.safe_load(Path(project.config({"resources.processes_per_trial": 2})).read_text()), Path.cwd())
    task, table = read_labelled(config.data, config.task)
    plan = image_plan(config.data, 1)
    plan.open(table.paths)
    store = RunStore.create(project.folder / "runs", "tiny")
    for number, lr in enumerate([0.01, 0.02, 0.01]):
        settings = {"model_name": "test_vit", "augmentation": "none", "batch_size": 5, "lr": lr}
        store.trial(f"{number:04d}").write_config(number=number, params={}, config=settings)
    return TrialWork(
        root=store.address,
        labelled=Labelled(task, table, split(task, table, 2, 0), plan),
        metric="loss",
        epochs=EPOCHS,
        seed=0,
        loader_workers=0,
        processes=config.resources.processes,
        gpus=config.resources.gpus_per_trial,
    )


def worker(work: TrialWork, trial_id: str) -> TrialTrainable:
    """A worker that has taken a trial, without the log folder that Ray's constructor writes into the home directory."""
    trainable = TrialTrainable.__new__(TrialTrainable)
    trainable.setup({TRIAL_KEY: trial_id}, pickle.dumps(work))
    return trainable


def logits(work: TrialWork, trial_id: str) -> np.ndarray:
    scores = RunStore(work.root).trial(trial_id).read_scores()
    assert scores is not None
    return scores.logits


@pytest.mark.slow
def test_processes_stay_with_their_worker_and_a_trial_outlives_them(work: TrialWork) -> None:
    others = psutil.Process().children()  # such as what an earlier test left to Python's resource tracker

    def processes() -> list[psutil.Process]:
        return [child for child in psutil.Process().children() if child not in others]

    first = worker(work, "0000")
    results = [first.step() for _ in range(EPOCHS)]
    assert [result["done"] for result in results] == [False, True], results
    (child,) = processes()
    assert first.reset_config({TRIAL_KEY: "0001"})
    assert first.step()["epoch"] == 1
    assert processes() == [child]
    assert not np.array_equal(logits(work, "0000"), logits(work, "0001"))
    first.reset_config({TRIAL_KEY: "0002"})
    first.step()
    os.kill(child.pid, signal.SIGKILL)
    with pytest.raises(ProcessLost, match="killed by SIGKILL"):  # which the search takes for the worker's death
        first.step()
    first.cleanup()
    second = worker(work, "0002")
    assert second.step() == results[1] | {TRIAL_KEY: "0002"}
    np.testing.assert_array_equal(logits(work, "0002"), logits(work, "0000"))
    second.cleanup()
    assert processes() == []
