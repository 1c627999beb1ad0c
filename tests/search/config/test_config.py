"""Defaults and derived values of a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from foldtune.search.config.schema import ResourcesConfig, SearchConfig
from foldtune.search.config.sections.data_section import DataConfig


@pytest.mark.parametrize(("max_epochs", "grace"), [(1, 1), (2, 1), (3, 1), (4, 2), (12, 4), (100, 34)])
def test_no_trial_is_stopped_before_a_third_of_its_epochs(max_epochs: int, grace: int) -> None:
    assert SearchConfig(max_epochs=max_epochs).grace == grace
    assert SearchConfig(max_epochs=max_epochs, grace_epochs=1).grace == 1


@pytest.mark.parametrize(("given", "size"), [(64, (64, 64)), ([48, 64], (48, 64))])
def test_image_sizes(given: Any, size: tuple[int, int]) -> None:
    assert DataConfig(train=Path("t"), target="y", image_size=given).size == size


@pytest.mark.parametrize("given", [True, "64", 64.0, [64, 64, 3], [64, True], [], None, 7, 5000])
def test_no_image_sizes(given: Any) -> None:
    with pytest.raises(ValidationError, match="one side of 8 to 4096 pixels"):
        DataConfig(train=Path("t"), target="y", image_size=given)


@pytest.mark.parametrize("gpus", [0, 0.25, 1, 2.0, 8])
def test_shares_of_a_gpu_or_whole_ones(gpus: float) -> None:
    assert ResourcesConfig(gpus_per_trial=gpus).gpus_per_trial == gpus


@pytest.mark.parametrize(
    ("given", "processes"),
    [
        ({}, 1),
        ({"gpus_per_trial": 0.5}, 1),
        ({"gpus_per_trial": 1}, 1),
        ({"gpus_per_trial": 4}, 4),
        ({"gpus_per_trial": 4, "processes_per_trial": 4}, 4),
        ({"processes_per_trial": 3}, 3),
    ],
)
def test_processes_of_a_trial_are_its_gpus_or_configured(given: dict[str, Any], processes: int) -> None:
    assert ResourcesConfig(**given).processes == processes


@pytest.mark.parametrize(("gpus", "processes"), [(0.5, 2), (4, 2), (2, 1)])
def test_each_process_has_one_gpu(gpus: float, processes: int) -> None:
    with pytest.raises(ValidationError, match=f"one a GPU, which gpus_per_trial: {gpus:g} gives by itself"):
        ResourcesConfig(gpus_per_trial=gpus, processes_per_trial=processes)


def test_the_environment_sets_the_cache_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    config = DataConfig(train=Path("t"), target="y")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.delenv("FOLDTUNE_CACHE", raising=False)
    assert config.cache_dir == Path("/xdg/foldtune")
    monkeypatch.setenv("FOLDTUNE_CACHE", "/own")
    assert config.cache_dir == Path("/own")
    assert DataConfig(train=Path("t"), target="y", cache="here").cache_dir == Path("here")
    assert DataConfig(train=Path("t"), target="y", cache="off").cache_dir is None


def test_values_never_change() -> None:
    config = SearchConfig()
    with pytest.raises(ValidationError, match="frozen"):
        config.seed = 1


@pytest.mark.parametrize(
    ("search", "problem"),
    [
        ({"brackets": 3}, "must be at most 2: the rungs are at epochs 4 of 12"),
        ({"brackets": 5, "grace_epochs": 1}, "must be at most 4: the rungs are at epochs 1, 3, 9 of 12"),
        ({"brackets": 2, "trial_scheduler": "none"}, "must be 1 where trial_scheduler: none stops nothing"),
    ],
)
def test_there_are_no_more_brackets_than_rungs_and_one(search: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        SearchConfig(**search)


def test_the_last_bracket_stops_nothing() -> None:
    assert SearchConfig(brackets=2).brackets == 2
    assert SearchConfig(brackets=4, grace_epochs=1).brackets == 4
