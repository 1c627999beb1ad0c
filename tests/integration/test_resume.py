"""`foldtune search` interrupted and killed in the middle, and gone on with."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import psutil
import pytest
from optuna.storages.journal import JournalFileBackend

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SPACE = {
    "lr": {"loguniform": [0.001, 0.03]},
    "loss": {"choice": {"cross_entropy": {"label_smoothing": {"uniform": [0.0, 0.2]}}, "focal": None}},
}
EPOCHS = 4


class RunFiles:
    """What a run's folder holds, read while it changes."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def ids(self) -> list[str]:
        return sorted(path.parent.name for path in self.root.glob("trials/*/config.json"))

    def finished(self) -> list[str]:
        return sorted(path.parent.name for path in self.root.glob("trials/*/trial.json"))

    def epochs(self, trial_id: str) -> list[int]:
        """Every epoch that was written, repeated ones too."""
        path = self.root / "trials" / trial_id / "metrics.jsonl"
        lines = path.read_text().split("\n")[:-1] if path.is_file() else []
        return [json.loads(line)["epoch"] for line in lines]

    def values(self, trial_id: str) -> list[float]:
        lines = (self.root / "trials" / trial_id / "metrics.jsonl").read_text().splitlines()
        by_epoch = {row["epoch"]: row["metrics"]["loss"] for row in map(json.loads, lines)}
        return [by_epoch[epoch] for epoch in sorted(by_epoch)]

    def params(self, trial_id: str) -> dict[str, Any]:
        params: dict[str, Any] = json.loads((self.root / "trials" / trial_id / "config.json").read_text())["params"]
        return params

    def statuses(self) -> Counter[str]:
        done = [json.loads((self.root / "trials" / key / "trial.json").read_text()) for key in self.finished()]
        return Counter(marker["status"] for marker in done)

    def stamps(self, trial_ids: list[str]) -> dict[Path, int]:
        """Times of all that a finished trial keeps; weights and leaderboard may go."""
        names = ("config.json", "metrics.jsonl", "scores.npz", "trial.json")
        paths = [self.root / "trials" / key / name for key in trial_ids for name in names]
        return {path: path.stat().st_mtime_ns for path in paths}

    def studies(self) -> list[list[optuna.trial.FrozenTrial]]:
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(self.root / "study.journal")))
        return [
            optuna.load_study(study_name=name, storage=storage).trials for name in optuna.get_all_study_names(storage)
        ]


@pytest.mark.slow
def test_ctrl_c_then_resume_and_extend_equals_a_search_that_ran_through(
    foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str], wait_for: Callable[..., Any]
) -> None:
    search = {"num_samples": 4, "max_epochs": EPOCHS, "startup_trials": 3, "grace_epochs": 3, "seed": 5}
    one_slot = {"max_concurrent_trials": 1}
    file = write_search("paused", SPACE, search=search, resources=one_slot)
    run = RunFiles(foldtune.folder / "runs/paused")

    started = foldtune.start("search", file)
    wait_for(lambda: started.workers() and run.epochs("0001"), "an epoch of the second trial")
    started.interrupt()
    ended = started.end()
    assert ended.code == 130
    assert "Traceback" not in ended.stderr
    assert "interrupted" in ended.stdout, "a table, with the interrupted trial"
    assert "foldtune search paused.yaml --resume" in ended.stderr
    wait_for(lambda: not started.left_behind(), "the end of Ray's processes")
    done, before = run.finished(), run.stamps(run.finished())
    assert "0000" in done
    assert len(done) < 4
    (paused,) = set(run.ids()) - set(done)

    resumed = foldtune_in(foldtune.folder, "search", file, "--resume", "--trials", "2")
    assert resumed.stdout.splitlines()[-1].startswith("best trial: ")
    assert run.ids() == run.finished() == [f"{n:04d}" for n in range(6)]
    assert run.stamps(done) == before, "finished trials are not trained again"
    repeated = [epoch for epoch, times in Counter(run.epochs(paused)).items() if times > 1]
    assert len(repeated) <= 1, "it goes on from its last epoch"
    (trials,) = run.studies()
    assert [trial.number for trial in trials] == list(range(6))

    file = write_search("through", SPACE, search={**search, "num_samples": 6}, resources=one_slot)
    foldtune_in(foldtune.folder, "search", file)
    through = RunFiles(foldtune.folder / "runs/through")
    for trial_id in run.ids():
        assert through.params(trial_id) == run.params(trial_id)
        assert through.values(trial_id) == run.values(trial_id)
    assert len({str(run.params(trial_id)) for trial_id in run.ids()}) == 6


@pytest.mark.slow
@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.faults)])
def test_a_killed_driver_and_a_killed_worker_lose_an_epoch_at_most(
    kills: int, foldtune: Any, write_search: Callable[..., str], wait_for: Callable[..., Any]
) -> None:
    total = 7
    search = {"num_samples": total, "max_epochs": EPOCHS, "startup_trials": 3, "grace_epochs": EPOCHS}
    file = write_search("killed", SPACE, search=search, resources={"max_concurrent_trials": 2})
    run = RunFiles(foldtune.folder / "runs/killed")
    rng = random.Random()
    progress = 0
    for attempt in range(kills):
        progress += rng.randint(1, 4)  # of the 7 · 4 epochs

        def trained(progress: int = progress) -> bool:
            return sum(len(set(run.epochs(trial_id))) for trial_id in run.ids()) >= progress

        started = foldtune.start("search", file, *(["--resume"] if attempt else []))
        wait_for(lambda: (started.workers() and trained()) or started.ended(), "some epochs")  # noqa: B023
        started.workers()
        started.process.kill()
        started.process.wait()
        wait_for(lambda: not started.left_behind(), "the end of Ray's processes")  # noqa: B023

    before = run.stamps(run.finished())
    started = foldtune.start("search", file, "--resume")

    def victim() -> psutil.Process | None:
        workers = started.workers()
        in_training = [key for key in set(run.ids()) - set(run.finished()) if 2 <= len(run.epochs(key)) < EPOCHS]
        return workers[0] if workers and in_training else None

    wait_for(victim, "a trial in the middle").kill()
    ended = started.end()
    assert ended.code == 0, ended.stdout + ended.stderr
    assert run.ids() == run.finished()
    assert len(run.ids()) == total
    assert run.statuses() == {"COMPLETE": total}
    assert {path: stamp for path, stamp in run.stamps(run.ids()).items() if path in before} == before
    for trial_id in run.ids():
        written = run.epochs(trial_id)
        assert sorted(set(written)) == list(range(1, EPOCHS + 1))
        # Each kill, of the driver or of the worker, may cost a trial the epoch that was under way.
        assert len(written) <= EPOCHS + kills + 1, written
    board = pd.read_csv(run.root / "leaderboard.csv", dtype={"trial_id": str})
    assert sorted(board["trial_id"]) == run.ids()
    (trials,) = run.studies()
    told = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert [f"{trial.number:04d}" for trial in told] == run.ids()
    assert not [trial for trial in trials if not trial.state.is_finished()]
