"""Time limits that are refused, and forecasts, before anything is trained."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from foldtune.search.cli.handlers.search import chain
from foldtune.search.cli.remote.command import RemoteCommand

Command = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("given", ["2x", "0", "1:30", "-1h"])
def test_what_is_no_duration_is_refused_by_name(project: Any, foldtune: Command, given: str) -> None:
    for arguments, name in (
        (("search", project.config()), "search.time_limit"),
        (("run", project.config()), "--time-limit"),
        (("ensemble", "tiny"), "--time-limit"),
    ):
        code, out, err = foldtune(*arguments, f"--time-limit={given}")
        assert (code, out) == (2, ""), err
        assert name in err
        assert "duration" in err
    code, _, err = foldtune("validate", project.config({"ensemble.time_limit": "soon"}))
    assert code == 2
    assert "ensemble.time_limit" in err
    assert not Path("runs").exists()


def test_durations_in_the_file_are_text_or_seconds(project: Any, foldtune: Command) -> None:
    for given in ("2h", 7200, "1h60m"):
        code, _, err = foldtune("validate", project.config({"search.time_limit": given}))
        assert code == 0, err


def test_a_time_that_is_used_up_is_refused_with_what_would_fit(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    (store.root / "clock.json").write_text(json.dumps({"search_s": 100.0}))
    arguments = ("search", project.config({"search.num_samples": 9}), "--resume", "--time-limit", "101s")
    code, _, err = foldtune(*arguments)
    assert code == 2, err
    # Its trials took two seconds an epoch, and the budget is one epoch.
    assert re.search(r"search\.time_limit: 1m 4\ds of 1m 4\ds are used", err)
    assert "about 2.0s to its first rung: give --time-limit 10" in err


@pytest.mark.parametrize(("given", "part"), [("25:00", "no time"), ("2020-01-01T10:00", "is past")])
def test_a_deadline_that_is_none_is_refused(project: Any, foldtune: Command, given: str, part: str) -> None:
    code, _, err = foldtune("run", project.config(), "--deadline", given)
    assert code == 2
    assert "--deadline" in err
    assert part in err


def test_a_forecast_times_each_model(project: Any, foldtune: Command) -> None:
    config = project.config({"space.model_name": {"choice": ["test_resnet", "test_vit"]}})
    code, out, err = foldtune("validate", config, "--forecast")
    assert code == 0, err
    assert "test_resnet" in out
    assert "test_vit" in out
    assert "forecast, " in out
    assert "folds and vote" in out


def test_a_dry_run_trains_nothing_and_refuses_what_cannot_be(project: Any, foldtune: Command) -> None:
    code, out, err = foldtune("run", project.config(), "--dry-run", "--time-limit", "10h")
    assert code == 0, err
    assert "forecast, " in out
    assert "all of it fits" in err
    code, _, err = foldtune("run", project.config(), "--dry-run", "--time-limit", "1s")
    assert code == 2
    assert "a first trial takes about" in err
    assert foldtune("run", project.config(), "--time-limit", "1s")[0] == 2
    assert not Path("runs").exists()


def test_a_job_gets_the_time_and_the_deadline_with_its_offset(
    project: Any, foldtune: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[RemoteCommand] = []
    monkeypatch.setattr(chain, "run_remote", lambda address, command, **more: sent.append(command))
    there = ("--address", "http://head:8265")
    code, _, err = foldtune("run", project.config(), *there, "--time-limit", "2h", "--deadline", "23:59:59")
    assert code == 0, err
    (command,) = sent
    assert list(command.arguments[:4]) == ["run", "config.yaml", "--address", "auto"]
    flags = dict(zip(command.arguments[4::2], command.arguments[5::2], strict=True))
    assert flags["--time-limit"] == "2h"
    assert datetime.fromisoformat(flags["--deadline"]).utcoffset() is not None
    assert command.resume_command is not None
    assert command.resume_command.startswith("foldtune run ")
    assert flags["--deadline"] in command.resume_command
    assert "--resume" in command.resume_command
    code, _, err = foldtune("run", project.config(), *there, "-o", "submission.csv")
    assert code == 2
    assert "--output" in err
