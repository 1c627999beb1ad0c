"""A training in two processes equals that in one, and ends with a reason where one of them ends."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from foldtune.errors import MemoryExhausted, ProcessLost, TrialFailed
from foldtune.trainers.fitting.fit import Fit, FoldData, TrainSpec
from foldtune.trainers.fitting.worker_pool import WorkerPool
from foldtune.trainers.images.sources import CachedImages
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass

pytestmark = pytest.mark.slow  # two processes that import torch
Start = Callable[..., Fit]
KINDS: dict[str, dict[str, Any]] = {
    "uneven last batch, average of weights, clipping, loss by class": {
        "ema_decay": 0.5,
        "clip_grad": 0.1,
        "loss": {"name": "class_balanced", "gamma": 1.0},
    },
    "a last batch of one image, plateau": {"batch_size": 11, "lr_scheduler": "plateau"},
    "odd batches, mixup, sampler": {
        "batch_size": 7,
        "mixup": 0.4,
        "optimizer": {"name": "sgd", "momentum": 0.9},
        "lr": 0.02,
        "sampler": {"name": "imbalanced", "strength": 1.0},
    },
}


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    """Two processes for all tests of this file, which can import what lies beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(Path(__file__).parent), *sys.path])
        patch.setenv("OMP_NUM_THREADS", "1")
        with WorkerPool(2, "cpu", timeout_s=300.0) as pool:
            yield pool


@pytest.fixture
def data(make_fold: Callable[..., FoldData], tmp_path: Path) -> FoldData:
    """23 and 11 images in a file, as processes read them."""
    fold = make_fold(23, 11)
    np.save(tmp_path / "images.npy", fold.images.array)
    return dataclasses.replace(fold, images=CachedImages(tmp_path / "images.npy", fold.images.shape))


@pytest.fixture
def begin(task: Multiclass, data: FoldData, settings: Callable[..., TrialSettings]) -> Iterator[Start]:
    """begin(pool, kind, lr=…) -> a Fit of a network without batch normalisation; all are closed at the end."""
    begun = []

    def make(pool: WorkerPool | None, kind: type[Multiclass] = Multiclass, num_workers: int = 0, **changes: Any) -> Fit:
        begun.append(
            Fit(
                TrainSpec(
                    settings(**{"model_name": "test_vit"} | changes),
                    kind(*dataclasses.astuple(task)),
                    data,
                    metric="loss",
                    epochs=2,
                    seed=0,
                ),
                device="cpu",
                num_workers=num_workers,
                pool=pool,
            )
        )
        return begun[-1]

    yield make
    for training in begun:
        training.close()


def assert_same(got: Fit, expected: Fit) -> None:
    np.testing.assert_allclose(got.valid_logits, expected.valid_logits, atol=1e-5)
    for name, weight in expected.best_weights().items():
        np.testing.assert_allclose(got.best_weights()[name], weight, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_equal_one(kind: str, pool: WorkerPool, begin: Start) -> None:
    alone, together = begin(None, **KINDS[kind]), begin(pool, **KINDS[kind])
    for _ in range(2):
        expected, got = alone.step(), together.step()
        assert got.metrics == pytest.approx(expected.metrics, abs=1e-5)
        assert (got.lr, got.is_best, got.done) == (pytest.approx(expected.lr), expected.is_best, expected.done)
    assert got.micro_batch_size == -(-expected.micro_batch_size // 2)
    assert_same(together, alone)


def test_a_checkpoint_goes_on_in_one_process_and_in_two(pool: WorkerPool, begin: Start, tmp_path: Path) -> None:
    kind = KINDS["uneven last batch, average of weights, clipping, loss by class"]
    whole = begin(None, **kind)
    whole.step()
    whole.save(tmp_path / "one.pt")
    whole.step()
    together = begin(pool, **kind)
    together.step()
    together.save(tmp_path / "two.pt")
    together.close()
    for path, processes in (("two.pt", None), ("one.pt", pool), ("two.pt", pool)):
        resumed = begin(processes, **kind)
        resumed.restore(tmp_path / path)
        assert resumed.epoch == 1
        resumed.step()
        assert_same(resumed, whole)
        resumed.close()


def test_no_memory_in_one_process_halves_the_micro_batch_in_all(pool: WorkerPool, begin: Start) -> None:
    from failing_tasks import Tight

    plain = {"optimizer": "sgd", "lr": 0.02}  # Adam makes much of the last digits of small gradients
    alone, tight = begin(None, **plain), begin(pool, Tight, **plain)
    expected, got = alone.step(), tight.step()
    assert (expected.micro_batch_size, got.micro_batch_size) == (8, 2)
    tight.halve_micro_batch()
    alone.step()
    assert tight.step().micro_batch_size == 1
    assert_same(tight, alone)


def test_out_of_memory_after_the_first_batch_ends_the_processes_and_half_the_micro_batch_goes_on(
    pool: WorkerPool, begin: Start, tmp_path: Path
) -> None:
    from failing_tasks import TightLater

    plain = {"optimizer": "sgd", "lr": 0.02}
    alone, tight = begin(None, **plain), begin(pool, TightLater, **plain)
    alone.step()
    (child,) = map(psutil.Process, pool.pids)
    assert tight.step().micro_batch_size == 4
    tight.save(tmp_path / "checkpoint.pt")
    with pytest.raises(MemoryExhausted, match="out of memory at micro-batch 4, which had fitted before"):
        tight.step()
    assert not child.is_running()
    tight.close()
    smaller = begin(pool, TightLater, **plain)
    smaller.restore(tmp_path / "checkpoint.pt")
    smaller.halve_micro_batch()
    alone.step()
    assert smaller.step().micro_batch_size == 2
    assert_same(smaller, alone)


def test_parameters_that_the_loss_does_not_use_stay_as_in_one_process(pool: WorkerPool, begin: Start) -> None:
    from failing_tasks import PartlyUnused

    alone, together = begin(None, PartlyUnused, weight_decay=0.1), begin(pool, PartlyUnused, weight_decay=0.1)
    before = together._learner.model.unused.weight.clone()
    alone.step()
    together.step()
    assert_same(together, alone)
    assert torch.equal(together._learner.model.unused.weight, before)


def test_frozen_layers_take_no_part_in_the_exchange(pool: WorkerPool, begin: Start) -> None:
    alone, together = begin(None, train_last=1), begin(pool, train_last=1)
    alone.step()
    together.step()
    assert_same(together, alone)


def test_layers_that_join_later_take_part_from_then_on(pool: WorkerPool, begin: Start) -> None:
    alone, together = begin(None, unfreeze_epochs=1), begin(pool, unfreeze_epochs=1)
    for _ in range(2):
        alone.step()
        together.step()
        assert_same(together, alone)


def test_batch_norm_normalises_each_process_s_own_rows(pool: WorkerPool, begin: Start) -> None:
    """On CPUs, that is, where a batch of 8 in two processes is one of two parts of 4 in one process."""
    alone, together = begin(None, model_name="test_resnet"), begin(pool, model_name="test_resnet")
    alone.halve_micro_batch()
    alone.step()
    together.step()
    weights = dict(together._learner.model.named_parameters())
    for name, weight in alone._learner.model.named_parameters():
        np.testing.assert_allclose(weights[name].detach(), weight.detach(), atol=1e-5, err_msg=name)


def test_loaders_read_for_all_processes(pool: WorkerPool, begin: Start) -> None:
    alone, together = begin(None), begin(pool, num_workers=2)
    alone.step()
    together.step()
    assert_same(together, alone)
    loaders = [child for pid in pool.pids for child in psutil.Process(pid).children()]
    assert len(loaders) == 2, "one for training, one for validation"
    together.close()
    psutil.wait_procs(loaders, timeout=30)
    assert not any(loader.is_running() for loader in loaders)


def test_a_pool_has_one_training_at_a_time(pool: WorkerPool, begin: Start) -> None:
    first = begin(pool)
    with pytest.raises(RuntimeError, match="close the earlier one first"):
        begin(pool)
    first.step()


def test_a_loss_that_is_not_finite_ends_the_trial_in_all_processes(pool: WorkerPool, begin: Start) -> None:
    diverging = begin(pool, batch_size=2, lr=100.0, optimizer="sgd", weight_decay=1.0, clip_grad=0.0)
    with pytest.raises(TrialFailed, match="loss became nan at epoch 1"):
        diverging.step()
    assert pool.pids == ()


def test_a_killed_process_ends_the_training_at_once_and_a_new_one_can_begin(pool: WorkerPool, begin: Start) -> None:
    from failing_tasks import Killed, Wrong

    training = begin(pool, Killed, batch_size=9)
    (child,) = map(psutil.Process, pool.pids)
    with pytest.raises(ProcessLost, match=r"process 2 of 2 of the training \(pid \d+\) was killed by SIGKILL"):
        training.step()
    assert not child.is_running()
    with pytest.raises(RuntimeError, match="broken off"):
        training.step()
    other = begin(pool, Wrong, batch_size=9)
    (child,) = map(psutil.Process, pool.pids)
    training.close()  # is not this one's
    with pytest.raises(TrialFailed, match="ValueError: these images cannot be"):
        other.step()
    assert not child.is_running()


_POOL = """
import sys, time
from foldtune.trainers.fitting.worker_pool import WorkerPool
pool = WorkerPool(2, "cpu")
pool.start()
pool._answer(pool._children[0])  # it has loaded its libraries
print(pool.pids[0], flush=True)
time.sleep(600)
"""


def test_the_death_of_the_first_process_ends_the_others() -> None:
    path = str(Path(__file__).resolve().parents[3])
    first = subprocess.Popen([sys.executable, "-c", _POOL], cwd=path, stdout=subprocess.PIPE)
    assert first.stdout is not None
    child = psutil.Process(int(first.stdout.readline()))
    assert child.is_running()
    first.kill()
    first.communicate()
    gone, _ = psutil.wait_procs([child], timeout=30)
    assert gone == [child]


def test_a_pool_needs_its_devices() -> None:
    with pytest.raises(ValueError, match="at least 2 processes, not 1"):
        WorkerPool(1)
    with pytest.raises(ValueError, match="not cuda:1"):
        WorkerPool(2, "cuda:1")
