"""`foldtune search` with real Ray and Optuna, from the command line to the files it leaves."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
import timm
import torch
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from foldtune.results.runs.store import RunStore
from foldtune.trainers.networks.weights import load_weights, save_weights

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

TRIALS, EPOCHS, TOP = 9, 4, 1
NAN_LR, SEED = 100.0, 34
DIVERGING = {"optimizer": "sgd", "weight_decay": 1.0, "clip_grad": 0.0, "batch_size": 8}
"""With NAN_LR, decay alone multiplies the weights by -99 in every step; SEED draws trials of all three outcomes."""
COMMON, RARE = 0.75, 0.25
DATA = {"target_map": {"2": "common", "4": "common", "6": "common", "7": "rare"}}
"""Three of the four digits are one class, so a trial that predicts one class always has a value known beforehand."""
ALWAYS_RARE, ALWAYS_COMMON = 100.0, -100.0
"""Offsets of a class's log score that decide every prediction, whatever the training gave."""
SPACE = {
    **DIVERGING,
    # The first is the default; the last one cannot be trained.
    "lr": {"choice": [0.01, 0.003, NAN_LR]},
    "drop_rate": {"uniform": [0.0, 0.3]},
    "loss": {"choice": {"cross_entropy": {"label_smoothing": {"uniform": [0.0, 0.2]}}, "focal": {"gamma": 2.0}}},
    "postprocess": {"offsets": {"rare": {"choice": [ALWAYS_COMMON, ALWAYS_RARE]}}},
}
COLUMNS = [
    "rank",
    "trial_id",
    "status",
    "accuracy",
    "accuracy_tuned",
    "epochs",
    "fit_time_s",
    "images_per_s",
    "params_m",
]


@dataclass(frozen=True)
class Searched:
    root: Path
    stdout: str
    stderr: str
    worker_pids: set[int]

    @property
    def leaderboard(self) -> pd.DataFrame:
        return pd.read_csv(self.root / "leaderboard.csv", dtype={"trial_id": str})

    def trial(self, trial_id: str) -> dict[str, Any]:
        folder = self.root / "trials" / trial_id
        metrics = folder / "metrics.jsonl"
        rows = metrics.read_text().splitlines() if metrics.is_file() else []
        return {
            "config": json.loads((folder / "config.json").read_text()),
            "epochs": [json.loads(row) for row in rows],
            "done": json.loads((folder / "trial.json").read_text()),
        }

    @property
    def trial_ids(self) -> list[str]:
        return sorted(path.name for path in (self.root / "trials").iterdir())


@pytest.fixture(scope="module")
def searched(
    foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str], watch: type[Any]
) -> Searched:
    """A finished search on two slots, in which some trials cannot be trained and some are stopped.

    All trials are start-up trials, so their parameters follow from the seed alone, and their values from the offsets
    alone: neither depends on a training, on the CPU, or on which of two trials ends first.
    """
    search = {"metric": "accuracy", "num_samples": TRIALS, "max_epochs": EPOCHS, "grace_epochs": 1, "seed": SEED}
    file = write_search(
        "whole",
        SPACE,
        top=TOP,
        data=DATA,
        search={**search, "startup_trials": TRIALS},
        resources={"max_concurrent_trials": 2},
    )
    with watch() as seen:
        ended = foldtune_in(foldtune.folder, "search", file)
    worker_pids = {worker.pid for worker in seen.workers}
    return Searched(foldtune.folder / "runs/whole", ended.stdout, ended.stderr, worker_pids)


def test_every_trial_ends_with_a_status_of_optuna(searched: Searched) -> None:
    board = searched.leaderboard
    assert len(board) == TRIALS
    assert set(board["status"]) == {"COMPLETE", "PRUNED", "FAIL"}
    always = {ALWAYS_COMMON: COMMON, ALWAYS_RARE: RARE}
    trained = board[board["status"] != "FAIL"]
    assert trained["accuracy"].tolist() == trained["params_postprocess.offsets.rare"].map(always).tolist()
    assert set(trained["accuracy"][trained["status"] == "PRUNED"]) == {RARE}, "the better half is never stopped"
    assert list(board["rank"].dropna()) == list(range(1, int((board["status"] != "FAIL").sum()) + 1))
    for trial_id, status, epochs in zip(board["trial_id"], board["status"], board["epochs"], strict=True):
        assert searched.trial(trial_id)["done"]["status"] == status
        if status != "FAIL":
            assert (epochs == EPOCHS) == (status == "COMPLETE")


def test_leaderboard_has_the_promised_columns(searched: Searched) -> None:
    columns = list(searched.leaderboard.columns)
    assert columns[: len(COLUMNS)] == COLUMNS
    first = columns.index("params_lr")
    assert set(columns[len(COLUMNS) : first]) >= {"macro_f1", "balanced_accuracy", "loss"}
    assert columns[-1] == "error"
    assert all(name.startswith("params_") for name in columns[first:-1])


def test_a_trial_that_cannot_be_trained_fails_with_its_reason_and_the_search_goes_on(searched: Searched) -> None:
    board = searched.leaderboard
    failed = board["status"] == "FAIL"
    assert (failed == (board["params_lr"] == NAN_LR)).all()
    assert board["error"][failed].str.contains("lr.* may be too high").all()
    assert board["error"][~failed].isna().all()
    last_failed = max(board["trial_id"][failed])
    assert (board["trial_id"][~failed] > last_failed).any()


def test_sampled_values_reach_the_worker(searched: Searched) -> None:
    for trial_id in searched.trial_ids:
        trial = searched.trial(trial_id)
        params, config = trial["config"]["params"], trial["config"]["config"]
        assert config["lr"] == params["lr"]
        assert config["drop_rate"] == params["drop_rate"]
        assert config["postprocess"] == {"offsets": {"rare": params["postprocess.offsets.rare"]}}
        if params["loss"] == "focal":
            assert config["loss"] == {"name": "focal", "gamma": 2.0}
        for row in trial["epochs"][:1]:
            assert row["lr"] == pytest.approx(params["lr"], rel=0.2)  # the cosine's first epoch
    first = searched.trial("0000")["config"]["params"]
    assert first["lr"] == 0.01, "the default configuration is the first"


def test_study_and_store_agree(searched: Searched) -> None:
    storage = optuna.storages.JournalStorage(JournalFileBackend(str(searched.root / "study.journal")))
    trials = optuna.load_study(study_name="whole", storage=storage).trials
    assert len(trials) == TRIALS
    for trial in trials:
        stored = searched.trial(f"{trial.number:04d}")
        assert trial.state == TrialState[stored["done"]["status"]]
        assert trial.params == stored["config"]["params"]
        best = {row["epoch"]: row["best_metrics"]["accuracy"] for row in stored["epochs"]}
        assert trial.intermediate_values == best
        if trial.state != TrialState.FAIL:
            assert trial.value == best[max(best)]


def test_the_last_line_is_the_best_trial(searched: Searched) -> None:
    board = searched.leaderboard
    complete = board[board["status"] == "COMPLETE"]
    best = complete.loc[complete["accuracy"].idxmax()]
    last = searched.stdout.splitlines()[-1]
    assert last.startswith(f"best trial: {best['trial_id']} accuracy={best['accuracy']:.4f}")


def test_without_a_terminal_every_trial_is_one_line(searched: Searched) -> None:
    lines = [line for line in searched.stderr.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in lines] == [f"[{n}/{TRIALS}" for n in range(1, TRIALS + 1)]
    assert "Traceback" not in searched.stderr + searched.stdout


def test_workers_are_reused(searched: Searched) -> None:
    assert len(searched.worker_pids) == 2, "one process a slot, for all trials"


def test_weights_stay_for_the_best_trials_alone(searched: Searched) -> None:
    kept = {path.parent.name for path in searched.root.glob("trials/*/weights.safetensors")}
    ranked = searched.leaderboard.dropna(subset="rank").sort_values(["status", "rank"])  # COMPLETE before PRUNED
    assert kept == set(ranked["trial_id"].head(TOP + 2))
    assert not list(searched.root.glob("trials/*/checkpoint.pt"))


@pytest.fixture
def dashboard(searched: Searched) -> Iterator[str]:
    """Address of an optuna-dashboard on the run's journal."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    server = subprocess.Popen([program, "--port", str(port), "--quiet", searched.root / "study.journal"])
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(30)


def test_optuna_dashboard_serves_the_study(dashboard: str, wait_for: Callable[..., Any]) -> None:
    def studies() -> list[dict[str, Any]]:
        try:
            with urllib.request.urlopen(f"{dashboard}/api/studies", timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)["study_summaries"]
                return found
        except OSError:
            return []

    assert [study["study_name"] for study in wait_for(studies, "the dashboard's answer")] == ["whole"]


@pytest.mark.slow
def test_a_search_in_which_every_trial_fails_is_given_up(
    foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str]
) -> None:
    search = {"num_samples": 50, "max_epochs": 2, "max_failed_trials": 3}
    space = {**DIVERGING, "lr": NAN_LR, "drop_rate": {"uniform": [0.0, 0.3]}}
    file = write_search("doomed", space, search=search)
    ended = foldtune_in(foldtune.folder, "search", file, code=1)
    last = ended.stderr.splitlines()[-1]
    assert re.search(r"[345] trials failed in a row", last)
    assert "may be too high" in last
    trials = list((foldtune.folder / "runs/doomed/trials").iterdir())
    assert 3 <= len(trials) <= 5  # those that ran beside the last one
    assert all(json.loads((trial / "trial.json").read_text())["status"] == "FAIL" for trial in trials)


@pytest.mark.slow
def test_a_file_of_weights_reaches_every_trial_and_fold(
    foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str]
) -> None:
    """At an lr of almost 0 a network stays what it starts from; the file may be gone once the search has begun."""
    folder: Path = foldtune.folder
    weights = timm.create_model("test_resnet").state_dict()
    save_weights(weights, folder / "mine.safetensors")
    space = {"pretrained": {"choice": ["mine.safetensors", False]}, "lr": {"loguniform": [1e-12, 1e-11]}}
    search = {"metric": "accuracy", "num_samples": 2, "max_epochs": 1}
    started = foldtune_in(folder, "search", write_search("started", space, top=2, search=search))
    assert f"pretrained weights of test_resnet: {folder / 'mine.safetensors'}" in started.stderr
    (folder / "mine.safetensors").unlink()
    foldtune_in(folder, "ensemble", "started", "--no-race")
    store = RunStore(folder / "runs/started")
    kept = {file.name for file in (store.root / "pretrained").iterdir()}
    for trial_id in ("0000", "0001"):
        config = store.trial(trial_id).record().config
        assert config["pretrained"] is False or config["pretrained"] in kept
        trained = [store.trial(trial_id).weights_path, *(store.ensemble.weights_path(trial_id, k) for k in range(3))]
        for stem in (load_weights(path)["conv1.0.weight"] for path in trained):
            assert torch.allclose(stem, weights["conv1.0.weight"], atol=1e-6) is (config["pretrained"] is not False)
    assert store.trial("0000").record().config["pretrained"] in kept


@pytest.mark.slow
def test_a_grid_ends_with_its_last_combination_and_another_search_goes_on_from_it(
    foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str]
) -> None:
    def trials(name: str) -> list[dict[str, Any]]:
        paths = sorted((foldtune.folder / "runs" / name / "trials").glob("*/config.json"))
        return [json.loads(path.read_text())["params"] for path in paths]

    space = {"lr": {"loguniform": [0.001, 0.03], "grid": [0.001, 0.01]}, "drop_rate": {"choice": [0.0, 0.1]}}
    search = {"metric": "loss", "max_epochs": 1, "num_samples": 9}
    file = write_search("combinations", space, search={**search, "algorithm": "grid"})
    ended = foldtune_in(foldtune.folder, "search", file)
    assert "the grid has 4 combinations, each a trial" in ended.stderr
    combined = trials("combinations")
    assert combined[0] == {"lr": 0.001, "drop_rate": 0.0}
    assert {(each["lr"], each["drop_rate"]) for each in combined} == {(lr, d) for lr in (0.001, 0.01) for d in (0, 0.1)}
    assert len(combined) == 4

    file = write_search("after", space, search={**search, "num_samples": 3})
    ended = foldtune_in(foldtune.folder, "search", file, "--from", "combinations")
    assert "from run combinations: the values of 4 trials for TPE" in ended.stderr
    board = pd.read_csv(foldtune.folder / "runs/combinations/leaderboard.csv")
    best = [{"lr": row.params_lr, "drop_rate": row.params_drop_rate} for row in board.head(3).itertuples()]
    expected = [combined[0], *(each for each in best if each != combined[0])]
    assert trials("after") == expected[:3]


@pytest.mark.slow
def test_an_ablation_is_a_run_that_goes_on_and_whose_choices_vote(
    foldtune: Any, foldtune_in: Callable[..., Any], write_search: Callable[..., str]
) -> None:
    space = {"lr": {"loguniform": [0.001, 0.03]}, "loss": {"choice": ["cross_entropy", "focal"]}}
    file = write_search("plain", space, search={"max_epochs": 1, "num_samples": 2}, top=2)
    foldtune_in(foldtune.folder, "search", file)
    best = pd.read_csv(foldtune.folder / "runs/plain/leaderboard.csv").iloc[0]
    arguments = ("ablate", file, "--vary", "loss", "--folds", "2", "--output", "table.csv")
    ended = foldtune_in(foldtune.folder, *arguments, "--from", "plain")
    assert "base: trial " in ended.stderr
    table = pd.read_csv(foldtune.folder / "table.csv")
    assert table["effect"].tolist()[0] == "base"
    assert table["choice"].tolist()[0] == f"loss={best.params_loss}"
    assert sorted(table["choice"]) == ["loss=cross_entropy", "loss=focal"]
    configs = (foldtune.folder / "runs/plain-ablation").glob("trials/*/config.json")
    assert {json.loads(path.read_text())["params"]["lr"] for path in configs} == {best.params_lr}

    marker = foldtune.folder / "runs/plain-ablation/ensemble/members/0001/fold_1/done.json"
    written_ns = marker.stat().st_mtime_ns
    foldtune_in(foldtune.folder, *arguments, "--resume", "--seeds", "2")
    assert marker.stat().st_mtime_ns == written_ns, "nothing is trained again"
    again = pd.read_csv(foldtune.folder / "table.csv")
    assert again["seeds"].tolist() == [2, 2]
    assert "0001" in foldtune_in(foldtune.folder, "results", "plain-ablation").stdout
    foldtune_in(foldtune.folder, "ensemble", "plain-ablation", "--folds", "2")
    ended = foldtune_in(foldtune.folder, *arguments, "--resume", "--vary", "lr", code=2)
    assert "lr: 0.001 to 0.03 has no end of values" in ended.stderr
