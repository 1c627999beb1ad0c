"""A training that was interrupted goes on bit for bit; a checkpoint is whole, its own, and without code."""

from __future__ import annotations

import copy
import dataclasses
import errno
import os
import pickle
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from foldtune.errors import CheckpointError, TrialFailed, WorkError
from foldtune.trainers.files import write_whole
from foldtune.trainers.fitting.checkpoint import read_checkpoint, write_checkpoint
from foldtune.trainers.fitting.fit import EpochReport, Fit, FoldData, TrainSpec
from foldtune.trainers.networks.weights import load_weights, save_weights
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass

Start = Callable[..., Fit]
EPOCHS = 4
KINDS: dict[str, dict[str, Any]] = {
    "all random parts, EMA": {
        "drop_rate": 0.2,
        "drop_path_rate": 0.2,
        "augmentation": "light",
        "sampler": "balanced",
        "ema_decay": 0.5,
        "lr_scheduler": {"name": "cosine", "warmup_epochs": 1.5},
    },
    "SGD, plateau": {
        "optimizer": "sgd",
        "lr": 0.05,
        "lr_scheduler": {"name": "plateau", "factor": 0.5, "patience": 0},
    },
    "Muon": {"optimizer": "muon", "lr": 0.01},
    "Lamb, its own lr": {"optimizer": {"name": "lamb", "lr": 0.02}},
    "layer decay, transformer": {"model_name": "test_vit", "layer_decay": 0.7, "drop_path_rate": 0.3},
    "dropout in the head, last layers": {
        "head": {"name": "mlp", "units": 16, "layers": 2, "dropout": 0.5},
        "train_last": 1,
        "tta": "all",
        "sampler": {"name": "imbalanced", "strength": 1.0},
        "ema_decay": 0.5,
    },
    "crops, single transforms, mixup": {
        "crop": {"name": "random_resized_crop", "size": 24},
        "augmentation": {
            "name": "custom",
            "horizontal_flip": 0.5,
            "optical_distortion": 0.5,
            "random_brightness": 0.5,
            "rgb_shift": 0.5,
            "iso_noise": 0.5,
        },
        "mixup": 0.4,
    },
}

QUICK = ("all random parts, EMA",)
"""Kinds that together have a part of each sort; the others are slow tests."""

OTHERS: list[dict[str, Any]] = [
    {"head": "mlp"},
    {"train_last": 1},
    {"tta": "hflip"},
    {"sampler": "imbalanced"},
    {"crop": "random_crop"},
]
"""Changes of a setting that make another training of it."""


def without_times(report: EpochReport) -> dict[str, Any]:
    return {k: v for k, v in dataclasses.asdict(report).items() if k not in {"time_s", "images_per_s"}}


def assert_same_state(left: Any, right: Any) -> None:
    if isinstance(left, torch.Tensor):
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key, value in left.items():
            assert_same_state(value, right[key])
    else:
        assert left == right


@pytest.mark.parametrize(
    "kind", [*QUICK, *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS if kind not in QUICK)]
)
def test_a_resumed_training_equals_an_uninterrupted_one(kind: str, start: Start, tmp_path: Path) -> None:
    make = lambda: start(epochs=EPOCHS, metric="balanced_accuracy", **KINDS[kind])  # noqa: E731
    whole, expected = make(), []
    interrupted = []  # after each epoch: its scores and its best weights
    for epoch in range(EPOCHS):
        expected.append(without_times(whole.step()))
        whole.save(tmp_path / f"{epoch + 1}.pt")
        interrupted.append((whole.valid_logits.copy(), copy.deepcopy(whole.best_weights())))
    for after in range(1, EPOCHS):
        second = make()
        torch.manual_seed(99)  # a global state that the restored training must not care about
        second.restore(tmp_path / f"{after}.pt")
        assert second.epoch == after
        np.testing.assert_array_equal(second.valid_logits, interrupted[after - 1][0])
        assert_same_state(second.best_weights(), interrupted[after - 1][1])
        got = [without_times(second.step()) for _ in range(EPOCHS - after)]
        assert got == expected[after:]
        np.testing.assert_array_equal(second.valid_logits, whole.valid_logits)
        assert_same_state(second.best_weights(), whole.best_weights())
        assert_same_state(second._learner.state_dict(), whole._learner.state_dict())


def test_saving_changes_nothing(start: Start, tmp_path: Path) -> None:
    saved, left_alone = (start(epochs=3, **KINDS["all random parts, EMA"]) for _ in range(2))
    for _ in range(3):
        assert without_times(saved.step()) == without_times(left_alone.step())
        saved.save(tmp_path / "checkpoint.pt")


def test_patience_counts_on_after_a_resume(start: Start, tmp_path: Path) -> None:
    frozen = {"lr": 1e-12, "weight_decay": 0.0, "patience": 2, "model_name": "test_vit"}
    first = start(epochs=9, **frozen)
    first.step()
    first.step()
    first.save(tmp_path / "checkpoint.pt")
    second = start(epochs=9, **frozen)
    second.restore(tmp_path / "checkpoint.pt")
    assert not second.done
    assert second.step().done


def test_fit_resumes_and_runs_only_what_is_left(
    settings: Callable[..., TrialSettings], task: Multiclass, fold: FoldData, tmp_path: Path
) -> None:
    spec = TrainSpec(settings(), task, fold, metric="accuracy", epochs=3, seed=0)
    paths = iter([tmp_path / "1.pt", tmp_path / "2.pt", tmp_path / "3.pt"])
    whole = Fit(spec)
    whole.run(report=lambda _: whole.save(next(paths)))
    for path, left in ((tmp_path / "1.pt", [2, 3]), (tmp_path / "3.pt", [])):
        rest = Fit(spec)
        rest.restore(path)
        assert [report.epoch for report in rest.run()] == left
        np.testing.assert_array_equal(rest.valid_logits, whole.valid_logits)
        assert_same_state(rest.best_weights(), whole.best_weights())


@pytest.mark.parametrize("change", [{"lr": 0.5}, {"epochs": 5}, {"seed": 1}, {"metric": "loss"}, *OTHERS])
def test_the_checkpoint_of_another_training_is_refused(change: dict[str, Any], start: Start, tmp_path: Path) -> None:
    first = start()
    first.step()
    first.save(tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="other settings, data, epochs or seed"):
        start(**change).restore(tmp_path / "checkpoint.pt")


def test_a_checkpoint_of_other_data_is_refused(
    start: Start, make_fold: Callable[..., FoldData], tmp_path: Path
) -> None:
    first = start()
    first.step()
    first.save(tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError):
        start(data=make_fold(23, 13)).restore(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("what", ["targets", "ids"])
@pytest.mark.parametrize("rows", ["train_rows", "valid_rows"])
def test_a_checkpoint_of_other_labels_or_other_rows_is_refused(
    what: str, rows: str, start: Start, fold: FoldData, tmp_path: Path
) -> None:
    """Two rows have exchanged their labels, or their ids: no count of a class and no number of rows differs."""
    first = start()
    first.step()
    first.save(tmp_path / "checkpoint.pt")
    one, two = getattr(fold, rows)[:2]
    values = getattr(fold, what).copy()
    values[[one, two]] = values[[two, one]]
    assert values[one] != values[two]
    with pytest.raises(CheckpointError, match="other settings, data, epochs or seed"):
        start(data=dataclasses.replace(fold, **{what: values})).restore(tmp_path / "checkpoint.pt")


def test_a_damaged_or_missing_checkpoint_leaves_the_training_fresh(start: Start, tmp_path: Path) -> None:
    first = start()
    first.step()
    path = tmp_path / "checkpoint.pt"
    first.save(path)
    path.write_bytes(path.read_bytes()[:5000])
    second = start()
    for wrong in (path, tmp_path / "absent.pt"):
        with pytest.raises(CheckpointError, match="cannot read checkpoint"):
            second.restore(wrong)
    assert second.epoch == 0
    assert without_times(second.step()) == without_times(start().step())


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("trapped",))


def test_a_checkpoint_cannot_run_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(Trap()))
    torch.save({"format": 1, "fingerprint": "", "state": Trap()}, tmp_path / "torch.pt")
    for name in ("plain.pt", "torch.pt"):
        with pytest.raises(CheckpointError):
            read_checkpoint(tmp_path / name, "")
    assert not (tmp_path / "trapped").exists()


def test_a_checkpoint_of_other_images_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, {"epoch": 1}, "settings", "rows")
    assert read_checkpoint(path, "settings", "rows") == read_checkpoint(path, "settings") == {"epoch": 1}
    with pytest.raises(CheckpointError, match="other labels or images"):
        read_checkpoint(path, "settings", "other rows")
    write_checkpoint(path, {"epoch": 1}, "settings")  # of a version that did not store it
    assert read_checkpoint(path, "settings", "rows") == {"epoch": 1}


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may grow over 10 kB, as on a disk that is almost full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room_for_a_checkpoint_ends_the_trial_and_keeps_the_earlier_one(
    start: Start, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    path = tmp_path / "trial" / "checkpoint.pt"
    training = start()
    training.step()
    training.save(path)
    before = path.read_bytes()
    training.step()
    request.getfixturevalue("small_files")
    with pytest.raises(TrialFailed, match=r"cannot write .*checkpoint.pt \(.* MB\).*free space"):
        training.save(path)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["checkpoint.pt"]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(TrialFailed, match="the disk is full"):
        write_checkpoint(tmp_path / "checkpoint.pt", {}, "")
    assert os.listdir(tmp_path) == []


def test_other_errors_of_the_disk_may_be_retried(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        write_whole(tmp_path / "file" / "below", b"data")


def test_nothing_can_be_saved_before_the_first_epoch(start: Start, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no epoch"):
        start().save(tmp_path / "checkpoint.pt")


def test_a_flipped_byte_in_a_checkpoint_or_in_weights_is_found(tmp_path: Path) -> None:
    values = torch.arange(1000, dtype=torch.float32)
    checkpoint, weights = tmp_path / "checkpoint.pt", tmp_path / "weights.safetensors"
    write_checkpoint(checkpoint, {"values": values}, "settings")
    save_weights({"values": values, "half": values.to(torch.bfloat16), "count": torch.tensor(3)}, weights)
    reads: list[tuple[Path, Callable[[], Any]]] = [
        (checkpoint, lambda: read_checkpoint(checkpoint, "settings")),
        (weights, lambda: load_weights(weights)),
    ]
    for path, read in reads:
        whole = path.read_bytes()
        read()
        for place in range(len(whole) // 2, len(whole) // 2 + 8):
            raw = bytearray(whole)
            raw[place] ^= 4
            path.write_bytes(raw)
            with pytest.raises((CheckpointError, WorkError), match=r"damaged|cannot read"):
                read()
