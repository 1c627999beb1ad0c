"""`foldtune ablate` before it trains, and its table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from foldtune.results.tables.ablation_table import COLUMNS, ablation_table

CHOICE = {"space.lr": {"choice": [0.001, 0.01]}, "space.pretrained": False}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--vary", "loss"], "--vary: unknown parameter 'loss'; valid: lr"),
        (["--vary", "model_name"], "--vary model_name: it is a constant of the space"),
        (["--vary", "lr", "--folds", "4"], "--folds 4: ensemble.folds is 2: give at most that"),
        (["--vary", "lr", "--from", "nothing"], "no run 'nothing'"),
        (["--vary", "lr", "--seeds", "99999"], "ensemble.seeds: must be an integer >= 1 and <= 100"),
        (["--vary", "lr", "--seeds", "0"], "Invalid value for '--seeds'"),
        ([], "Missing option '--vary'"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_written(
    project: Any, foldtune: Callable[..., Any], arguments: list[str], problem: str
) -> None:
    code, _, err = foldtune("ablate", project.config(CHOICE), *arguments)
    assert code == 2
    assert problem in " ".join(err.replace("│", " ").split())
    assert not (project.folder / "runs").exists()


def row(choice: str, target: str | None = None, **values: Any) -> dict[str, Any]:
    cost = {"folds": 3, "seeds": 2, "fit_time_s": 90.0, "params_m": 5.25}
    return {**dict.fromkeys(COLUMNS), "choice": choice, "target": target, "metric": "qwk", **cost, **values}


def shown(rows: list[dict[str, Any]], targets: list[str | None]) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(ablation_table(pd.DataFrame(rows), targets, 200))
    return "\n".join(" ".join(line.split()) for line in capture.get().splitlines())


BASE = {"value": 0.5, "effect": "base"}
UNCLEAR = {"value": 0.52, "difference": 0.02, "low": -0.01, "high": 0.05, "effect": "unclear"}
WORSE = {"value": 0.4, "difference": -0.1, "low": -0.15, "high": -0.05, "effect": "worse", "folds": 2, "seeds": 1}


def test_the_table_has_each_choice_and_names_what_is_unclear_and_what_failed() -> None:
    text = shown(
        [
            row("a", **BASE),
            row("b", **UNCLEAR),
            row("c", **WORSE),
            row("d", folds=None, seeds=None, error="nan"),
        ],
        [None],
    )
    assert "a 0.5000 – – base 3 x 2 1m 30s 5.25 M" in text
    assert "b 0.5200 +0.0200 -0.0100, +0.0500 unclear 3 x 2" in text
    assert "c 0.4000 -0.1000 -0.1500, -0.0500 worse 2 x 1" in text
    assert "d – – – failed –" in text
    assert "no clear difference from the base on these rows and seeds: b" in text
    assert "d: nan" in text


def test_several_targets_are_one_table() -> None:
    rows = [row("a", "age", **BASE), row("b", "age", **UNCLEAR), row("a", "sex", **BASE)]
    text = shown([*rows, row("c", "sex", **WORSE)], ["age", "sex"])
    assert "choice age qwk change 95% sex qwk change 95%" in text
    assert "a 0.5000 – – base 0.5000 – – base" in text
    assert "b 0.5200 +0.0200 -0.0100, +0.0500 unclear – – –" in text
    assert "c – – – 0.4000 -0.1000 -0.1500, -0.0500 worse" in text
    assert "age: no clear difference from the base on these rows and seeds: b" in text


def test_a_narrow_window_keeps_the_changes_of_two_targets() -> None:
    rows = [
        row(f"augmentation={name}", target, **values)
        for target in ("grade", "sick")
        for name, values in (("a", BASE), ("b", WORSE))
    ]
    console = Console(width=80)
    with console.capture() as capture:
        console.print(ablation_table(pd.DataFrame(rows), ["grade", "sick"], 80))
    assert "augmentation=b 0.4000 -0.1000 worse 0.4000 -0.1000 worse" in " ".join(capture.get().split())
