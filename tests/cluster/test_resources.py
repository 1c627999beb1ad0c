"""How many trials fit, against placing them one by one."""

from __future__ import annotations

import itertools

import pytest

from foldtune.cluster.resources import TrialResources


def placed(cpus: float, gpus: float, trial: TrialResources) -> int:
    """Trials placed one by one, each on whole devices or on a share of one device, in hundredths."""
    free_cpu, devices = round(cpus * 100), [100] * int(gpus)
    need_cpu, need_gpu = round(trial.cpus * 100), round(trial.gpus * 100)
    for count in itertools.count():
        if free_cpu < need_cpu:
            return count
        chosen = [i for i, free in enumerate(devices) if free >= min(need_gpu, 100)][: max(1, need_gpu // 100)]
        if need_gpu and len(chosen) < max(1, need_gpu // 100):
            return count
        free_cpu -= need_cpu
        for device in chosen if need_gpu else []:
            devices[device] -= min(need_gpu, 100)
    raise AssertionError


@pytest.mark.parametrize("cpus", [0.25, 0.5, 1, 2, 3])
@pytest.mark.parametrize("gpus", [0, 0.1, 0.25, 0.3, 0.5, 0.7, 1, 2])
def test_a_node_holds_what_can_be_placed_on_it(cpus: float, gpus: float) -> None:
    trial = TrialResources(cpus, gpus)
    for node in itertools.product([0, 1, 2, 7, 16], [0, 1, 2, 3, 8]):
        assert trial.fit_into(*node) == placed(*node, trial), node


def test_shares_of_two_devices_make_no_trial() -> None:
    """0.7 of a GPU twice over leaves 0.3 on each of two devices, which is no place for a third."""
    assert TrialResources(1, 0.7).fit_into(16, 2) == 2
