"""A search whose trials are trained by two processes each, by the command itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pandas as pd
import psutil
import pytest

from foldtune.results.runs.store import RunStore

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

EPOCHS = 2


def members(started: Any) -> set[psutil.Process]:
    """Further processes of the trials that run now."""
    found = set()
    for worker in started.workers():
        try:
            children = worker.children()
            found |= {child for child in children if "foldtune.trainers.fitting.worker" in child.cmdline()}
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.slow
def test_trials_of_two_processes_each(
    foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str], watch: type[Any]
) -> None:
    file = write_search(
        "parallel",
        {"model_name": "test_vit", "lr": {"choice": [0.01, 0.003]}},
        search={"metric": "macro_f1", "num_samples": 2, "max_epochs": EPOCHS, "trial_scheduler": "none"},
        resources={"cpus_per_trial": 2, "max_concurrent_trials": 1, "processes_per_trial": 2},
    )
    with watch() as seen:
        foldtune_in(foldtune.folder, "search", file)
    board = pd.read_csv(foldtune.folder / "runs/parallel/leaderboard.csv")
    assert list(board["status"]) == ["COMPLETE"] * 2
    assert list(board["epochs"]) == [EPOCHS] * 2
    assert len(seen.further) == 1, "one further process, which stays for the next trial"
    _, alive = psutil.wait_procs(list(seen.further), timeout=30)
    assert not alive
    stored = (foldtune.folder / "runs/parallel/config.yaml").read_text()
    assert "processes_per_trial: 2" in stored


@pytest.mark.faults
def test_a_process_that_dies_costs_its_trial_an_epoch(
    foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any]
) -> None:
    epochs = 8
    file = write_search(
        "bereft",
        {"model_name": "test_vit", "lr": {"loguniform": [0.003, 0.01]}},
        search={"metric": "macro_f1", "num_samples": 2, "max_epochs": epochs, "trial_scheduler": "none"},
        resources={"cpus_per_trial": 2, "max_concurrent_trials": 1, "processes_per_trial": 2},
    )
    run = foldtune.folder / "runs/bereft"

    def written(trial_id: str) -> list[int]:
        lines = (run / "trials" / trial_id / "metrics.jsonl").read_text().splitlines()
        return [json.loads(line)["epoch"] for line in lines]

    started = foldtune.start("search", file)
    first = run / "trials/0000/metrics.jsonl"
    wait_for(lambda: started.ended() or (first.is_file() and members(started)), "an epoch")
    (victim,) = members(started)
    victim.kill()
    ended = started.end()
    assert ended.code == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
    store = RunStore(run)
    assert [record.status for record in store.trials()] == ["COMPLETE"] * 2
    (death,) = store.trial("0000").deaths()
    assert 1 <= death["epoch"] < epochs
    assert "was killed by SIGKILL" in death["reason"]
    for trial_id in ("0000", "0001"):
        assert sorted(set(written(trial_id))) == list(range(1, epochs + 1))
        assert len(written(trial_id)) <= epochs + 1
