"""A small project on disk, and the command run in this process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image
from sklearn.datasets import load_digits

from foldtune.results.records.ranking import Goal
from foldtune.results.records.trials import EpochRow
from foldtune.results.runs.store import RunStore
from foldtune.search.cli.main import run
from foldtune.search.config.loading import check
from foldtune.trainers.tasks import get_task

CLASSES, ROWS = 3, 8
DELETE = object()
BASE: dict[str, Any] = {
    "name": "tiny",
    "task": "multiclass",
    "data": {"train": "train.csv", "images": "images", "target": "label", "image_size": 16},
    "space": {
        "model_name": "test_resnet",
        "lr": {"loguniform": [1e-3, 1e-2]},
        "amp": "off",
        "channels_last": True,
    },
    "search": {"metric": "macro_f1", "num_samples": 2, "max_epochs": 1},
    "ensemble": {"top": 1, "folds": 2},
}


@dataclass(frozen=True)
class Project:
    """A folder with real digits of three classes, and ways to write what a user writes."""

    folder: Path
    rows: tuple[tuple[str, str], ...]

    def config(self, changes: Mapping[str, Any] | None = None) -> str:
        """Write config.yaml: the base with `changes` by key path (DELETE removes); gives its path."""
        content = deepcopy(BASE)
        for path, value in (changes or {}).items():
            *sections, key = path.split(".")
            node = content
            for section in sections:
                node = node.setdefault(section, {})
            if value is DELETE:
                del node[key]
            else:
                node[key] = value
        return self.text(yaml.safe_dump(content, sort_keys=False).encode())

    def text(self, content: bytes) -> str:
        path = self.folder / "config.yaml"
        path.write_bytes(content)
        return str(path)

    def table(self, rows: Sequence[tuple[str, str]], name: str = "other.csv") -> str:
        lines = ["image,label", *(",".join(row) for row in rows)]
        (self.folder / name).write_text("\n".join(lines) + "\n")
        return name

    def stored_run(self, name: str = "tiny") -> RunStore:
        """A run as a search leaves it: two complete trials and a failed one."""
        config = check(yaml.safe_load(Path(self.config({"name": name})).read_text()), self.folder)
        task_class = get_task("multiclass")
        task = task_class.from_frame(task_class.read_frame(config.data.train), "label")
        store = RunStore.create(self.folder / "runs", name)
        store.write_task(task.to_dict())
        ids = np.array([row[0] for row in self.rows])
        store.write_folds(ids, np.arange(len(ids)) % 2)
        store.write_config(config.model_dump(mode="json"))
        self.stored_trial(store, 0, 0.5)
        self.stored_trial(store, 1, 0.75)
        self.stored_trial(store, 2, 0.25, error="out of memory")
        store.write_leaderboard(Goal("macro_f1", "max"))
        return store

    def stored_trial(self, store: RunStore, number: int, value: float, error: str | None = None) -> None:
        trial = store.trial(f"{number:04d}")
        trial.write_config(number=number, params={"lr": 0.001 * (number + 1)}, config={"lr": 0.001 * (number + 1)})
        metrics = {"macro_f1": value, "macro_f1_tuned": value, "loss": 1 - value}
        trial.append_epoch(EpochRow(1, metrics, 1, metrics, 2.0, 100.0, 1e-3, 64, 0.4))
        trial.finish("FAIL" if error else "COMPLETE", error=error)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("FOLDTUNE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    (tmp_path / "images").mkdir()
    rows = []
    for label in range(CLASSES):
        for index in np.flatnonzero(digits.target == label)[:ROWS]:
            name = f"d{index:04d}.png"
            Image.fromarray((digits.images[index] * 15.9).astype(np.uint8)).save(tmp_path / "images" / name)
            rows.append((name, f"c{label}"))
    project = Project(tmp_path, tuple(rows))
    project.table(rows, "train.csv")
    return project


@pytest.fixture
def foldtune(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """foldtune(argument, …) -> (exit code, stdout, stderr) of the command, run in this process."""

    def command(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run(list(arguments))
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err + printed.out
        assert "bug in foldtune" not in printed.err
        return code, printed.out, printed.err

    return command
