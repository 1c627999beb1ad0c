"""A failure that was not the trial's is marked as such, and a worker that fails by itself gives its place away."""

from __future__ import annotations

import errno
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from foldtune.errors import (
    DataError,
    ProcessLost,
    StorageDenied,
    StorageError,
    StorageFull,
    SurroundingsFailed,
    TrialFailed,
)
from foldtune.search.workers import surroundings, trainable, training
from foldtune.search.workers.surroundings import MAX_FAILURES, SURROUNDINGS_KEY, is_surroundings
from foldtune.search.workers.trainable import TRIAL_KEY, TrialTrainable


@pytest.mark.parametrize(
    "error",
    [
        SurroundingsFailed("images are away"),
        StorageError("no answer"),
        StorageFull("no room"),
        StorageDenied("read-only"),
        ProcessLost("killed"),
        MemoryError(),
        OSError(errno.ESTALE, "stale file handle"),
        ConnectionResetError(),
        RuntimeError("CUDA error: unspecified launch failure"),
        RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed."),
    ],
)
def test_of_the_surroundings(error: Exception) -> None:
    assert is_surroundings(error)


@pytest.mark.parametrize(
    "error", [TrialFailed("loss is nan"), DataError("no rows"), ValueError("lr"), RuntimeError("shape mismatch")]
)
def test_of_the_trial(error: Exception) -> None:
    assert not is_surroundings(error)


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrialTrainable:
    monkeypatch.setattr(training, "worker_pool", lambda _: None)
    made = TrialTrainable.__new__(TrialTrainable)
    work: Any = SimpleNamespace(root=str(tmp_path / "run"), metric="accuracy")
    made.setup({TRIAL_KEY: "0000"}, pickle.dumps(work))
    return made


def fail_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(training, "open_fit", fail)


def test_a_worker_that_fails_by_itself_pauses_and_then_ends(
    worker: TrialTrainable, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    exits: list[int] = []
    monkeypatch.setattr(trainable.time, "sleep", pauses.append)
    monkeypatch.setattr(trainable.os, "_exit", exits.append)
    fail_with(OSError(errno.EIO, "input/output error"), monkeypatch)
    for number in range(1, MAX_FAILURES + 1):
        result = worker.step()
        assert result[SURROUNDINGS_KEY] is True
        assert "input/output error" in result["error"]
        worker.reset_config({TRIAL_KEY: f"{number:04d}"})
    assert pauses == [surroundings.pause_s(number) for number in range(1, MAX_FAILURES + 1)]
    assert exits == [1]


def test_a_worker_goes_on_after_failures_of_its_trials(worker: TrialTrainable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainable.time, "sleep", lambda _: pytest.fail("pauses"))
    monkeypatch.setattr(trainable.os, "_exit", lambda _: pytest.fail("ends"))
    fail_with(TrialFailed("loss is nan"), monkeypatch)
    for number in range(5):
        assert SURROUNDINGS_KEY not in worker.step()
        worker.reset_config({TRIAL_KEY: f"{number:04d}"})
