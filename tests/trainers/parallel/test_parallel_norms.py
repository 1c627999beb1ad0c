"""Batch normalisation over several processes, as far as testable in one process without a GPU."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from foldtune.errors import TrialFailed
from foldtune.trainers.fitting.learner import Learner
from foldtune.trainers.parallel.group import Group
from foldtune.trainers.parallel.norms import apart, own_statistics, share_statistics, shares_statistics
from foldtune.trainers.parallel.shares import Share
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
    assert (shares_statistics(plain), shares_statistics(shared)) == (False, True)
    assert [(name, value.shape) for name, value in shared.state_dict().items()] == [
        (name, value.shape) for name, value in plain.state_dict().items()
    ]
    shared.load_state_dict(plain.state_dict())
    images = torch.rand(4, 3, 32, 32)
    torch.testing.assert_close(shared.train()(images), plain.train()(images))


def test_apart_no_statistics_change(shared: nn.Module) -> None:
    frozen, *others = [module for module in shared.train().modules() if isinstance(module, nn.SyncBatchNorm)]
    frozen.eval()
    before = [norm.running_mean.clone() for norm in others]
    with apart(shared):
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


def test_what_fits_is_found_before_processes_meet_and_later_nothing_can_be_tried_again(
    shared: nn.Module, settings: Callable[..., TrialSettings]
) -> None:
    learner = Learner(
        shared,
        nn.CrossEntropyLoss(reduction="none"),
        settings(),
        device=torch.device("cpu"),
        epochs=1,
        steps_per_epoch=2,
        mode="min",
        group=Group(),
        share=Share(even=True),
    )
    room, met = 3, []

    def refuse(module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        met.append(next(each for each in shared.modules() if isinstance(each, nn.SyncBatchNorm)).training)
        if len(inputs[0]) > room:
            raise torch.OutOfMemoryError("no room")

    shared.register_forward_pre_hook(refuse)
    batch = torch.randint(0, 255, (8, 32, 32, 3), dtype=torch.uint8), torch.arange(8) % 3
    shared.train()
    learner._gradient(*batch)
    assert learner.micro.size == 2
    assert met == [False] * 6 + [True] * 4, "of 8, 4 and four times 2 images; then in earnest"
    learner._gradient(*batch)
    assert met[10:] == [True] * 4
    room = 1
    with pytest.raises(TrialFailed, match="out of memory at micro-batch 2, which had fitted before"):
        learner._gradient(*batch)
