"""`foldtune results RUN --trial ID`, and what a search that was stopped shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Command = Callable[..., tuple[int, str, str]]
CHILD = "RuntimeError: " + "the reason of the child " * 30


@pytest.fixture
def failed(project: Any) -> Any:
    store = project.stored_run()
    trial = store.trial("0002")
    trial.write_error(f"In step 3:\n\x1b[31m{CHILD}\x1b[0m\n")
    trial.append_death(1, "killed by SIGKILL")
    return store


def test_the_whole_reason_of_a_failure_without_colours(failed: Any, foldtune: Command) -> None:
    code, out, _ = foldtune("results", "tiny", "--trial", "0002")
    assert code == 0
    assert "trial 0002: fail after 1 epochs" in out
    assert "error: out of memory" in out
    assert "a worker died after epoch 1: killed by SIGKILL" in out
    assert " ".join(CHILD.split()) in " ".join(out.split())
    assert "\x1b" not in out


def test_a_trial_for_programs(failed: Any, foldtune: Command) -> None:
    found = json.loads(foldtune("results", "tiny", "--trial", "0002", "--format", "json")[1])
    assert (found["trial_id"], found["status"], found["params"]) == ("0002", "FAIL", {"lr": 0.003})
    assert found["log"].splitlines()[1] == CHILD
    assert [row["epoch"] for row in found["epochs"]] == [1]
    out = foldtune("results", "tiny", "--trial", "0001", "--format", "csv")[1]
    assert out.splitlines()[0].startswith("epoch,")


def test_a_trial_that_is_not_there(failed: Any, foldtune: Command) -> None:
    code, _, err = foldtune("results", "tiny", "--trial", "0020")
    assert (code, "did you mean '0002'" in err) == (2, True)
    code, _, err = foldtune("results", "tiny", "--trial", "0002", "--watch")
    assert (code, "--trial" in err) == (2, True)


def test_trials_of_a_stopped_search_are_not_running(project: Any, foldtune: Command) -> None:
    store = project.stored_run()
    Path(store.trial("0001").done_path).unlink()
    with store.lock():
        assert "running" in foldtune("results", "tiny")[1]
        assert "running" in foldtune("runs")[1]
    for command in (("results", "tiny"), ("runs",)):
        out = foldtune(*command)[1]
        assert "running" not in out
        assert "interrupted" in out
    rows = json.loads(foldtune("results", "tiny", "--format", "json")[1])
    assert {row["trial_id"]: row["status"] for row in rows}["0001"] == "RUNNING"
