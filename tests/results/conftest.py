"""Runs with trials in every state."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import EpochRow, TrialRecord
from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import remove_tree
from foldtune.results.storage.paths import StorePath, as_path

URLS = {"memory": "memory://foldtune", "s3": "s3://foldtune"}


@pytest.fixture(params=["folder", *URLS])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StorePath]:
    """Return a storage: a folder, and in turn each kind of URL."""
    if request.param == "folder":
        yield tmp_path / "runs"
        return
    if request.param == "s3":
        request.getfixturevalue("s3")
    root = as_path(URLS[request.param]) / secrets.token_hex(8)
    yield root / "runs"
    remove_tree(root)


@pytest.fixture
def store(storage: StorePath) -> RunStore:
    """Return an empty run named skin."""
    store = RunStore.create(storage, "skin")
    store.write_config({"name": "skin", "search": {"metric": "accuracy", "num_samples": 3}})
    store.write_goal(Goal("accuracy", "max"))
    return store


@pytest.fixture
def make_row() -> Callable[..., EpochRow]:
    """Return a function that makes an epoch."""

    def row(epoch: int, accuracy: float = 0.5, best_epoch: int | None = None, **best: float) -> EpochRow:
        return EpochRow(
            epoch=epoch,
            metrics={"accuracy": accuracy, "loss": 1 - accuracy},
            best_epoch=best_epoch or epoch,
            best_metrics={"accuracy": accuracy, "loss": 1 - accuracy, **best},
            time_s=2.0,
            images_per_s=100.0 * epoch,
            lr=1e-3,
            micro_batch_size=64,
            params_m=5.43,
        )

    return row


@pytest.fixture
def make_record() -> Callable[..., TrialRecord]:
    """Return a function that makes a finished trial."""

    def record(number: int, value: float | None = None, status: str = "COMPLETE", **kw: Any) -> TrialRecord:
        metrics = {} if value is None else {"accuracy": value, "loss": 1 - value}
        defaults: dict[str, Any] = {
            "trial_id": f"t{number}",
            "number": number,
            "status": status,
            "params": {},
            "config": {},
            "epochs": 3,
            "best_epoch": 3,
            "metrics": metrics,
            "fit_time_s": 10.0,
            "images_per_s": 1000.0,
            "params_m": 5.4,
            "error": "out of memory" if status == "FAIL" else None,
        }
        return TrialRecord(**(defaults | kw))

    return record
