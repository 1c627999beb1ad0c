"""A run of finished trials with stored scores, as a search writes it, and the scores mapped into memory."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from foldtune.results.records.trials import EpochRow
from foldtune.results.runs.store import RunStore
from foldtune.trainers.tasks import Task
from foldtune.trainers.tasks.multilabel import Multilabel

METRIC = "macro_f1"


def write_run(storage: Path, name: str, *, trials: int, rows: int, labels: int) -> None:
    """Write a run of complete multilabel trials whose logits have correlated errors."""
    task = Multilabel("labels", tuple(f"label{number:02d}" for number in range(labels)))
    rng = np.random.default_rng(0)
    rates = np.geomspace(0.3, 0.01, labels)
    targets = (rng.random((rows, labels)) < rates).astype(np.int64)
    hard = rng.normal(size=targets.shape).astype(np.float32)
    ids = np.array([f"image{number:07d}.jpg" for number in range(rows)])
    store = RunStore.create(storage, name)
    store.write_task(task.to_dict())
    data = {"train": str(storage / "train.csv"), "target": "labels"}
    space, search = {"model_name": "test_resnet"}, {"metric": METRIC}
    store.write_config({"name": name, "task": task.name, "data": data, "space": space, "search": search})
    for number in range(trials):
        skill = 1.5 + 2.5 * rng.random()
        noise = rng.standard_normal(targets.shape, dtype=np.float32)
        _write_trial(store, number, ids, (skill * (targets - 0.7) + hard + noise).astype(np.float32), targets, skill)


def _write_trial(
    store: RunStore,
    number: int,
    ids: npt.NDArray[np.str_],
    logits: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int64],
    skill: float,
) -> None:
    trial = store.trial(f"{number:04d}")
    trial.write_config(number=number, params={}, config=dict(model_name="test_resnet"))
    trial.write_scores(ids=ids, logits=logits, targets=targets, epoch=1)
    metrics = {METRIC: skill / 5}
    trial.append_epoch(EpochRow(1, metrics, 1, metrics, 1.0, 1.0, 0.1, 8, 0.1))
    trial.finish("COMPLETE")


def mapped(path: Path, name: str) -> np.memmap[Any, Any]:
    """Return an array of an uncompressed .npz file, mapped read-only, so that only used pages are loaded."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ValueError(f"{path} is compressed")
    with open(path, "rb") as file:
        file.seek(entry.header_offset + 26)
        name_length, extra_length = struct.unpack("<HH", file.read(4))
        file.seek(name_length + extra_length, 1)
        np.lib.format.read_magic(file)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        return np.memmap(path, dtype, "r", file.tell(), shape, "F" if fortran else "C")


@dataclass(frozen=True)
class MappedScores:
    """Scores (N, ...) of a trial, computed from its mapped logits on access."""

    task: Task
    logits: npt.NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the scores."""
        return self.logits.shape

    def __getitem__(self, rows: Any) -> npt.NDArray[Any]:
        return self.task.scores(np.asarray(self.logits[rows]))
