"""Commands on a stored run: their output, and their messages for unknown runs, columns and flags."""

from __future__ import annotations

import csv
import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from foldtune.errors import ClusterError
from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import EpochRow
from foldtune.results.runs.store import RunStore
from foldtune.search.cli.ray_session import RaySession

Command = Callable[..., tuple[int, str, str]]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def test_results_fit_a_narrow_terminal(project: Any, foldtune: Command) -> None:
    project.stored_run()
    code, out, err = foldtune("results", "tiny")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80
    assert "out of memory" in out
    assert "\x1b" not in out


def test_json_stands_alone_on_stdout(project: Any, foldtune: Command) -> None:
    project.stored_run()
    rows = json.loads(foldtune("results", "tiny", "--format", "json")[1])
    assert [(row["rank"], row["trial_id"], row["status"]) for row in rows] == [
        (1, "0001", "COMPLETE"),
        (2, "0000", "COMPLETE"),
        (None, "0002", "FAIL"),
    ]
    assert rows[2]["error"] == "out of memory"
    (summary,) = json.loads(foldtune("runs", "--format", "json")[1])
    assert (summary["name"], summary["best"], summary["trials"]) == ("tiny", 0.75, {"COMPLETE": 2, "FAIL": 1})


@pytest.mark.parametrize("stored", [True, False], ids=["stored with the run", "from the task, in an older run"])
def test_runs_show_the_lowest_value_of_an_error(tmp_path: Path, foldtune: Command, stored: bool) -> None:
    store = RunStore.create(tmp_path / "runs", "grades")
    store.write_task({"task": "ordinal"})
    store.write_config({"name": "grades", "search": {"metric": "mae", "num_samples": 2}})
    if stored:
        store.write_goal(Goal("mae", "min"))
    for number, value in enumerate([0.75, 0.25]):
        trial = store.trial(f"{number:04d}")
        trial.write_config(number=number, params={}, config={})
        trial.append_epoch(EpochRow(1, {"mae": value}, 1, {"mae": value}, 2.0, 100.0, 1e-3, 64, 0.4))
        trial.finish("COMPLETE")
    (summary,) = json.loads(foldtune("runs", "--storage", str(tmp_path / "runs"), "--format", "json")[1])
    assert (summary["metric"], summary["best"]) == ("mae", 0.25)


def test_csv_is_the_leaderboard(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    out = foldtune("results", "tiny", "--format", "csv", "--top", "2")[1]
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["trial_id"] for row in rows] == ["0001", "0000"]
    code, _, err = foldtune("leaderboard", "tiny", "--output", "board.csv")
    assert code == 0
    assert "3 trials in board.csv" in err
    assert Path("board.csv").read_bytes() == store.leaderboard_path.read_bytes()


def test_a_sorted_table_keeps_the_ranks(project: Any, foldtune: Command) -> None:
    project.stored_run()
    rows = json.loads(foldtune("results", "tiny", "--sort", "loss", "--format", "json")[1])
    assert [row["trial_id"] for row in rows][:2] == ["0001", "0000"]
    code, _, err = foldtune("results", "tiny", "--sort", "macro")
    assert code == 2
    assert "no column 'macro'" in err
    assert "macro_f1" in err


@pytest.mark.parametrize(
    "command",
    [
        ["results", "tny"],
        ["leaderboard", "tny", "--output", "board.csv"],
        ["thresholds", "tny"],
        ["ensemble", "tny"],
        ["score", "tny", "--labels", "train.csv"],
    ],
    ids=lambda command: command[0],
)
def test_a_run_that_does_not_exist_names_the_near_one(project: Any, foldtune: Command, command: list[str]) -> None:
    project.stored_run()
    code, out, err = foldtune(*command)
    assert (code, out) == (2, "")
    assert "no run 'tny'; did you mean 'tiny'?" in err


def test_no_run_at_all(project: Any, foldtune: Command) -> None:
    code, _, err = foldtune("results", "tiny")
    assert code == 2
    assert "no run 'tiny': there is no folder runs; --storage names where runs are kept" in err
    code, out, err = foldtune("runs", "--storage", "nowhere")
    assert code == 0
    assert "no runs yet" in out
    assert "there is no folder nowhere" in err
    Path("runs").mkdir()
    assert "no run 'tiny': there are none (in runs)" in foldtune("results", "tiny")[2]
    assert json.loads(foldtune("runs", "--format", "json")[1]) == []


def test_a_folder_that_is_no_run(project: Any, foldtune: Command) -> None:
    code, _, err = foldtune("results", "images")
    assert code == 2
    assert "images is not a run: it has no config.yaml" in err


def test_a_start_for_which_there_is_no_room_leaves_no_folder(
    project: Any, foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise ClusterError("no node holds a trial")

    monkeypatch.setattr(RaySession, "connect", refuse)
    code, _, err = foldtune("search", project.config())
    assert code == 2, err
    assert "no node holds a trial" in err
    assert not Path("runs").exists()
    project.stored_run()
    before = contents(Path("runs"))
    assert foldtune("search", project.config(), "--resume", "--trials", "9")[0] == 2
    assert contents(Path("runs")).keys() >= before.keys(), "a run that had started stays"


def test_ctrl_c_while_ray_starts_is_a_line_and_leaves_no_folder(
    project: Any, foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RaySession, "connect", lambda *_: signal.raise_signal(signal.SIGINT))
    code, out, err = foldtune("search", project.config())
    assert (code, out) == (130, "")
    assert err.splitlines()[-1] == "interrupted"
    assert not Path("runs").exists()


@pytest.mark.parametrize("command", ["results", "ensemble", "thresholds", "leaderboard", "report", "gate"])
def test_a_file_in_place_of_a_run_is_refused_by_its_name(project: Any, foldtune: Command, command: str) -> None:
    project.stored_run()
    more = {"leaderboard": ["--output", "l.csv"], "report": ["--output", "r"], "gate": ["gates.yaml"]}.get(command, [])
    Path("gates.yaml").write_text("- accuracy > 0.1\n")
    code, _, err = foldtune(command, project.config(), *more)
    assert code == 2
    assert "Not a directory" not in err
    assert "there are: tiny" in err


def test_a_taken_name_is_refused_with_the_options(project: Any, foldtune: Command) -> None:
    project.stored_run()
    before = contents(project.folder / "runs")
    code, out, err = foldtune("search", project.config())
    assert (code, out) == (2, "")
    assert "run 'tiny' exists" in err
    assert "--resume" in err
    assert "--name" in err
    assert contents(project.folder / "runs") == before


def test_resume_of_nothing_names_the_near_run(project: Any, foldtune: Command) -> None:
    project.stored_run("tiny2")
    code, _, err = foldtune("search", project.config(), "--resume")
    assert code == 2
    assert "no run 'tiny'; did you mean 'tiny2'?" in err


def test_resume_with_another_configuration_names_the_differences(project: Any, foldtune: Command) -> None:
    project.stored_run()
    before = contents(project.folder / "runs")
    path = project.config({"search.max_epochs": 3, "space.lr": {"loguniform": [1e-4, 1e-2]}})
    code, out, err = foldtune("search", path, "--resume")
    assert (code, out) == (2, "")
    assert "search.max_epochs" in err
    assert "space" in err
    assert "--name" in err
    assert contents(project.folder / "runs") == before


@pytest.mark.parametrize(
    ("command", "parts"),
    [
        (["search", "config.yaml", "--trials", "0"], ["'--trials'", "greater than or equal to 1"]),
        (["search", "config.yaml", "--trials", "x"], ["'--trials'", "must be an integer\n"]),
        (["search", "config.yaml", "--trial", "3"], ["--trial", "--trials"]),
        (["results", "tiny", "--top", "0"], ["'--top'", "greater than or equal to 1"]),
        (["results", "tiny", "--format", "jsn"], ["'--format'", "'jsn' is not one of 'table', 'csv', 'json'"]),
        (["results", "tiny", "--watch", "--format", "json"], ["--watch", "it draws a table"]),
        (["ensemble", "tiny", "--folds", "1"], ["'--folds'", "greater than or equal to 2"]),
        (["ensemble", "tiny", "--folds", "9"], ["--folds 9", "give 2 to 2"]),
        (["ensemble", "tiny", "--top", "0"], ["'--top'", "greater than or equal to 1"]),
        (["ensemble", "tiny", "--voting", "hrad"], ["--voting", "did you mean 'hard'?"]),
        (["ensemble", "tiny", "--voting", "hard", "--top", "2", "--min-votes", "3"], ["--min-votes 3", "give 1 to 2"]),
        (["ensemble", "tiny", "--min-votes", "1"], ["--min-votes", "voting hard"]),
        (["ensemble", "tiny", "--format", "csv"], ["'--format': 'csv' is not one of 'table', 'json'"]),
        (["leaderboard", "tiny"], ["--output"]),
        (["serch"], ["serch", "search"]),
        (["runs", "tiny"], ["No such command 'tiny'", "valid: archive, rm, note"]),
        (["runs", "--storage", "train.csv"], ["train.csv: is a file; --storage names a folder"]),
        (["search", "config.yaml", "--storage", "train.csv"], ["train.csv: is a file; --storage names a folder"]),
        (["results", "tiny", "--storage", "train.csv"], ["train.csv: is a file; --storage names a folder"]),
        (["results", "train.csv"], ["no run 'train.csv'; there are: tiny"]),
        (["report", "tiny", "--output", "out", "--device", "gpu"], ["device: unknown device 'gpu'", "valid: cpu"]),
        (["cache", "clear", "--folder", "train.csv"], ["train.csv"]),
        (["validate"], ["CONFIG"]),
        (["predict", "runs/tiny", "images", "--output", "p.csv"], ["no ensemble", "foldtune ensemble"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_flags(project: Any, foldtune: Command, command: list[str], parts: list[str]) -> None:
    project.stored_run()
    project.config({"name": "other"})
    before = contents(project.folder / "runs")
    code, out, err = foldtune(*command)
    assert (code, out) == (2, "")
    assert [part for part in parts if part not in err] == [], err
    assert "Input should be" not in err
    assert contents(project.folder / "runs") == before


def test_a_damaged_run_is_refused_with_the_file(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    store.task_path.write_text("{")
    code, _, err = foldtune("results", "tiny")
    assert code == 1
    assert "task.json is not JSON" in err


def test_no_command_shows_the_help(foldtune: Command) -> None:
    code, out, err = foldtune()
    assert code == 2
    assert "foldtune search" in out + err
