"""An epoch and a fold model after a cut at every operation of the disk: what is read back is a state that was."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from foldtune.results.runs.store import RunStore
from foldtune.results.storage.files import remove_tree
from foldtune.search.data.dataset import Labelled
from foldtune.search.runs.run import open_run, reopen_labelled
from foldtune.search.workers import training
from foldtune.search.workers.fold_job import FoldJob, FoldWork
from foldtune.search.workers.fold_model import ensure_trained
from foldtune.search.workers.training import TrialWork, store_epoch
from foldtune.trainers.files import write_whole
from foldtune.trainers.fitting.fit_types import EpochReport
from foldtune.trainers.networks.weights import load_weights
from tests.power import Disk


@dataclass
class StubFit:
    """A training whose weights, scores and checkpoint are the number of their epoch."""

    labelled: Labelled
    epochs: int = 2
    epoch: int = 0
    params_m: float = 0.1

    @property
    def done(self) -> bool:
        return self.epoch == self.epochs

    @property
    def best(self) -> Any:
        return SimpleNamespace(epoch=self.epoch, value=self.epoch / 10)

    @property
    def data(self) -> Any:
        return self.labelled.fold(0, SimpleNamespace())  # type: ignore[arg-type]

    @property
    def valid_logits(self) -> Any:
        return np.full((len(self.data.valid_rows), 3), self.epoch, dtype=np.float32)

    def step(self) -> EpochReport:
        self.epoch += 1
        metrics = {"macro_f1": self.epoch / 10}
        done = self.done
        return EpochReport(self.epoch, metrics, metrics, self.epoch, self.epoch / 10, True, done, 1.0, 1.0, 0.1, 8)

    def best_weights(self) -> dict[str, torch.Tensor]:
        return {"epoch": torch.tensor([self.epoch])}

    def save(self, path: Path) -> None:
        write_whole(path, json.dumps(self.epoch).encode())

    def close(self) -> None:
        pass


@pytest.fixture
def labelled(project: Any) -> Iterator[Labelled]:
    store = project.stored_run()
    yield reopen_labelled(open_run("tiny", "runs"), 1, None)
    remove_tree(store.root)


@pytest.fixture
def disk(tmp_path: Path, labelled: Labelled, monkeypatch: pytest.MonkeyPatch) -> Disk:
    (tmp_path / "disk").mkdir()
    return Disk(tmp_path / "disk", monkeypatch)


def epoch_of(weights: Path) -> int:
    return int(load_weights(weights)["epoch"][0])


@pytest.mark.slow
def test_an_epoch_cut_anywhere_is_stored_or_repeated(disk: Disk, labelled: Labelled) -> None:
    """A row is not there before its scores and weights, nor a checkpoint before the rows of its epochs."""
    trial = RunStore(disk.root / "run").trial("0000")

    def store(first: int, last: int, epochs: int) -> None:
        fit = StubFit(labelled, epochs, first)
        for _ in range(first, last):
            report = fit.step()
            store_epoch(trial, fit, report)  # type: ignore[arg-type]

    for first, epochs in ((0, 3), (1, 3), (1, 2)):
        for ended in disk.cuts(
            lambda first=first, epochs=epochs: store(first, first + 1, epochs), lambda first=first: store(0, first, 3)
        ):
            rows = trial.epochs()
            assert len(rows) == first + 1 if ended else len(rows) in (first, first + 1)
            checkpoint = int(trial.checkpoint_path.read_text()) if trial.checkpoint_path.exists() else 0
            assert first - (first == 0) <= checkpoint <= len(rows) or (first == 0 and checkpoint <= len(rows))
            if ended and epochs > first + 1:
                assert checkpoint == first + 1
            if rows:
                scores = trial.read_scores()
                assert scores is not None
                assert min(scores.epoch, epoch_of(trial.weights_path)) >= rows[-1].best_epoch
                assert (scores.logits == scores.epoch).all()


@pytest.mark.slow
@pytest.mark.parametrize("taken_over", [True, False])
def test_a_fold_model_cut_anywhere_is_whole_or_made_again(
    disk: Disk, labelled: Labelled, taken_over: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A marker is not there before the model and its scores."""
    store = RunStore(disk.root / "run")
    trial = store.trial("0000")
    monkeypatch.setattr(training, "resumed_fit", lambda *_: StubFit(labelled))
    work = TrialWork(str(store.root), replace(labelled, digest=""), "macro_f1", 2, 0, 0)
    fold_work = FoldWork(work, None, str(store.ensemble.root))
    job = FoldJob("0000", "tiny", "0000", 0)
    folder, weights = store.ensemble.member("0000", 0), store.ensemble.weights_path("0000", 0)

    def prepare() -> None:
        trial.write_config(0, {}, {"model_name": "test_resnet", "lr": 0.01})
        fit = StubFit(labelled, 1)
        report = fit.step()
        store_epoch(trial, fit, report)  # type: ignore[arg-type]
        trial.finish("COMPLETE" if taken_over else "PRUNED")

    for ended in disk.cuts(lambda: ensure_trained(fold_work, job), prepare):
        result = folder.result()
        assert result is not None or not ended
        if result is not None:
            scores = folder.read_scores()
            assert scores is not None
            assert scores.epoch == epoch_of(weights) == (1 if taken_over else 2)
            assert result["reused"] is taken_over
            assert (scores.logits == scores.epoch).all()
        assert ensure_trained(fold_work, job).value is not None
