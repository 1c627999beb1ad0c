"""A search whose trials are trained by two processes each, by the command itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import psutil
import pytest

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

EPOCHS = 2


def members(started: Any) -> set[psutil.Process]:
    """Further processes of the trials that run now."""
    found = set()
    for worker in started.workers():
        try:
            children = worker.children()
            found |= {child for child in children if "trainers.parallel.member" in child.cmdline()}
        except psutil.NoSuchProcess:
            continue
    return found


def test_trials_of_two_processes_each(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any]
) -> None:
    file = write_search(
        "parallel",
        {"model_name": "test_vit", "lr": {"choice": [0.01, 0.003]}},
        search={"metric": "macro_f1", "num_samples": 2, "max_epochs": EPOCHS, "trial_scheduler": "none"},
        resources={"cpus_per_trial": 2, "max_concurrent_trials": 1, "processes_per_trial": 2},
    )
    started = foldtune.start("search", file)
    seen: set[psutil.Process] = set()

    def ended() -> bool:
        seen.update(members(started))
        return started.ended()

    wait_for(ended, "the end of the search")
    ended_with = started.end()
    assert ended_with.code == 0, ended_with.stdout + ended_with.stderr
    board = pd.read_csv(foldtune.folder / "runs/parallel/leaderboard.csv")
    assert list(board["status"]) == ["COMPLETE"] * 2
    assert list(board["epochs"]) == [EPOCHS] * 2
    assert len(seen) == 1, "one further process, which stays for the next trial"
    _, alive = psutil.wait_procs(list(seen), timeout=30)
    assert not alive
    stored = (foldtune.folder / "runs/parallel/config.yaml").read_text()
    assert "processes_per_trial: 2" in stored
