"""`space.preset: FILE`: a team's own preset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from foldtune.search.config.loading import load_config
from foldtune.spaces import Space

Command = Callable[..., tuple[int, str, str]]
OURS = {
    "description": "ours",
    "tasks": ["multiclass"],
    "space": {"preset": "quick", "batch_size": 8, "lr": {"loguniform": [1e-4, 1e-3]}},
}


def write(folder: Path, content: Any, name: str = "ours.yaml") -> None:
    (folder / name).write_text(yaml.safe_dump(content))


def test_keys_of_a_file_stand_in_its_place_and_own_keys_above_them(project: Any) -> None:
    (project.folder / "presets").mkdir()
    write(project.folder / "presets", OURS)
    path = project.config({"space": {"preset": ["long_tail", "presets/ours.yaml"], "batch_size": 12}})
    space = Space.parse(load_config(Path(path)).space)
    config = space.build(space.default())
    assert config["batch_size"] == 12
    assert 1e-4 <= config["lr"] <= 1e-3
    assert config["weight_decay"] == 1e-2  # of long_tail, which the file does not name
    assert config["loss"]["name"] == "cross_entropy"  # of quick, which the file starts from
    assert "preset" not in load_config(Path(path)).space


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"space": {"lr": 0.1}, "data": {}}, ["data", "description, tasks, space"]),
        ({"lr": 0.1}, ["a mapping with the key space"]),
        ({"tasks": ["ordinal"], "space": {"lr": 0.1}}, ["is for ordinal, not for task multiclass"]),
        ({"tasks": "ordinal", "space": {"lr": 0.1}}, ["tasks must be a list"]),
        ({"space": {"preset": "ours.yaml"}}, ["8 deep"]),
        ({"space": {"preset": "quik"}}, ["quik", "did you mean 'quick'"]),
    ],
)
def test_a_file_that_is_no_preset_is_refused(content: Any, words: list[str], project: Any, foldtune: Command) -> None:
    write(project.folder, content)
    code, _, err = foldtune("validate", project.config({"space.preset": "./ours.yaml"}))
    assert code == 2
    assert all(word in " ".join(err.split()) for word in words), err


def test_a_file_that_is_not_there_is_named_with_the_nearest(project: Any, foldtune: Command) -> None:
    write(project.folder, OURS)
    code, _, err = foldtune("validate", project.config({"space.preset": "./our.yaml"}))
    flat = " ".join(err.split())
    assert (code, "No such file" in flat, "ours.yaml" in flat, "long_tail" in flat) == (2, True, True, True), err
