"""Grid searches: what is refused, and how many trials there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from foldtune.search.config.loading import check
from foldtune.search.runs.resuming import extend
from foldtune.search.runs.run import open_run
from foldtune.search.runs.validation import check_file

GRID = {"search.algorithm": "grid", "space.lr": {"loguniform": [1e-3, 1e-2], "grid": [1e-3, 1e-2]}}


def test_a_domain_without_an_end_is_named_with_a_grid(project: Any, foldtune: Callable[..., Any]) -> None:
    code, _, err = foldtune("validate", project.config({"search.algorithm": "grid"}))
    assert code == 2
    assert "space.lr: search.algorithm: grid needs the values to try, as" in err
    assert "{loguniform: [0.001, 0.01], grid: [0.001, 0.0032, 0.01]}" in " ".join(err.split())


@pytest.mark.parametrize(
    ("changes", "trials", "note"),
    [
        ({"search.num_samples": 9}, 4, "the grid has 4 combinations, each a trial"),
        ({"search.num_samples": 4}, 4, "the grid has 4 combinations, each a trial"),
        ({"search.num_samples": 3}, 3, "the grid has more combinations than search.num_samples, 3"),
        (
            {"search.num_samples": 9, "search.algorithm": "tpe"},
            9,
            "the grid of space.lr counts in ablate, and with",
        ),
    ],
)
def test_a_grid_has_as_many_trials_as_combinations_or_num_samples(
    project: Any, changes: dict[str, Any], trials: int, note: str
) -> None:
    drop = {"space.drop_rate": {"choice": [0.0, 0.1]}}
    checked = check_file(project.folder / project.config({**GRID, **drop, **changes}))
    assert checked.config.search.num_samples == trials
    assert any(text.startswith(note) for text in checked.notes)


def test_a_grid_cannot_be_extended_beyond_its_combinations(project: Any) -> None:
    project.stored_run()
    run = open_run("tiny", "runs")
    config = check(
        {**run.config.model_dump(mode="json"), "search": {"algorithm": "grid", "num_samples": 2}}, project.folder
    ).model_copy(update={"space": {"lr": GRID["space.lr"]}})
    run.store.write_config(config.model_dump(mode="json"))
    run = open_run("tiny", "runs")
    assert extend(run, run.config, 7).config.search.num_samples == 2
