"""Batch normalisation over several processes, as far as testable in one process without a GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from foldtune.errors import MemoryExhausted
from foldtune.trainers.fitting.epoch import batch_gradient, find_micro_batch
from foldtune.trainers.fitting.learner import Learner, TrainingLength
from foldtune.trainers.parallel.microbatch import BatchShard
from foldtune.trainers.parallel.process_group import (
    ProcessGroup,
    fixed_statistics,
    own_statistics,
    share_statistics,
)
from foldtune.trainers.settings import TrialSettings
from foldtune.trainers.tasks.multiclass import Multiclass
from foldtune.trainers.tasks.network import create_model


@pytest.fixture
def shared(task: Multiclass, settings: Callable[..., TrialSettings]) -> nn.Module:
    """A network whose normalisations would be shared on GPUs."""
    return share_statistics(create_model(task, settings(), (32, 32)))


def test_a_network_that_shares_statistics_keeps_its_state(
    shared: nn.Module, task: Multiclass, settings: Callable[..., TrialSettings]
) -> None:
    plain = create_model(task, settings(), (32, 32))
    for network, is_shared in ((plain, False), (shared, True)):
        assert any(isinstance(module, nn.SyncBatchNorm) for module in network.modules()) is is_shared
    assert [(name, value.shape) for name, value in shared.state_dict().items()] == [
        (name, value.shape) for name, value in plain.state_dict().items()
    ]
    shared.load_state_dict(plain.state_dict())
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(shared.train()(images), plain.train()(images))


def test_fixed_statistics_do_not_change(shared: nn.Module) -> None:
    frozen, *others = [module for module in shared.train().modules() if isinstance(module, nn.SyncBatchNorm)]
    frozen.eval()
    before = [norm.running_mean.clone() for norm in others]
    with fixed_statistics(shared):
        shared(torch.rand(4, 3, 32, 32))
    for norm, mean in zip(others, before, strict=True):
        torch.testing.assert_close(norm.running_mean, mean, rtol=0, atol=0)
    assert [norm.training for norm in (frozen, *others)] == [False] + [True] * len(others)


def test_statistics_that_are_not_shared_are_averaged_unless_frozen(
    shared: nn.Module, task: Multiclass, settings: Callable[..., TrialSettings]
) -> None:
    plain, average = (create_model(task, settings(), (32, 32)) for _ in range(2))
    plain.train()
    average.eval()
    norms = [module for module in plain.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(own_statistics(plain)) == 2 * len(norms)
    assert len(own_statistics(plain, average)) == 4 * len(norms)
    norms[0].eval()
    assert len(own_statistics(plain)) == 2 * len(norms) - 2
    assert own_statistics(shared.train()) == []


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ProcessGroup]:
    """A connected process group of this process alone."""
    group = ProcessGroup(torch.device("cpu"))
    group.connect(tmp_path / "rendezvous", timeout_s=60.0)
    yield group
    group.close()


@pytest.mark.slow
def test_the_micro_batch_is_found_before_processes_exchange_and_later_none_is_tried_again(
    task: Multiclass, settings: Callable[..., TrialSettings], group: ProcessGroup
) -> None:
    network = create_model(task, settings(), (32, 32)).train()
    criterion, length = nn.CrossEntropyLoss(reduction="none"), TrainingLength(1, 2, "min")
    learner = Learner(network, criterion, settings(), length, group, BatchShard(equal_parts=True))
    room, exchanging = 3, []

    def refuse(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        exchanging.append(next(each for each in network.modules() if isinstance(each, nn.BatchNorm2d)).training)
        if len(inputs[0]) > room:
            raise torch.OutOfMemoryError("no room")

    network.register_forward_pre_hook(refuse)
    batch = torch.randint(0, 255, (8, 32, 32, 3), dtype=torch.uint8), torch.arange(8) % 3, 8
    batch_gradient(learner, *batch)
    assert learner.micro.size == 2
    assert exchanging == [False] * 6 + [True] * 4, "of 8, 4 and four times 2 images; then with exchange"
    batch_gradient(learner, *batch)
    assert exchanging[10:] == [True] * 4
    room = 1
    with pytest.raises(MemoryExhausted, match="out of memory at micro-batch 2, which had fitted before"):
        batch_gradient(learner, *batch)


def test_the_trial_run_of_a_batch_changes_neither_statistics_nor_random_numbers(
    task: Multiclass, settings: Callable[..., TrialSettings], group: ProcessGroup
) -> None:
    network = create_model(task, settings(), (32, 32)).train()
    criterion, length = nn.CrossEntropyLoss(reduction="none"), TrainingLength(1, 2, "min")
    learner = Learner(network, criterion, settings(), length, group, BatchShard())
    images, targets = torch.randint(0, 255, (8, 32, 32, 3), dtype=torch.uint8), torch.arange(8) % 3
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def backward(rows: slice) -> torch.Tensor:
        torch.rand(1)
        loss = criterion(network(learner.normalize(images[rows])), targets[rows]).sum()
        loss.backward()
        return loss

    random = torch.random.get_rng_state()
    find_micro_batch(learner, 8, backward)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert learner.fitting_size == 8
