"""Scores of several predictors, side by side."""

from __future__ import annotations

import pytest
from rich.console import Console

from foldtune.results.tables.compare_table import scores_table

FIGURES = {
    "ensemble": {"accuracy": 0.9, "macro_f1": 0.8, "loss": 0.3},
    "best single trial (0004)": {"accuracy": 0.95, "macro_f1": 0.7, "loss": 0.2},
}
MODES = {"accuracy": "max", "macro_f1": "max", "loss": "min"}


def render(width: int) -> list[str]:
    console = Console(width=width, record=True, file=None, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(scores_table(FIGURES, "macro_f1", MODES))  # type: ignore[arg-type]
    return capture.get().splitlines()


def test_the_runs_own_metric_comes_first() -> None:
    names = [line for line in render(80) if "0." in line]
    assert ["macro_f1" in names[0], "accuracy" in names[1], "loss" in names[2]] == [True] * 3


@pytest.mark.parametrize(("metric", "best"), [("macro_f1", "0.8000"), ("accuracy", "0.9500"), ("loss", "0.2000")])
def test_the_better_value_of_each_metric_stands_out(metric: str, best: str) -> None:
    line = next(line for line in render(80) if metric in line)
    styled = line.split("\x1b[")
    assert sum(best in part for part in styled) == 1
    cell = next(part for part in styled if best in part)
    other = next(part for part in styled if "0." in part and best not in part)
    assert cell.split("m")[0].strip() != other.split("m")[0].strip()


@pytest.mark.parametrize("width", [40, 60, 80])
def test_it_fits_the_terminal(width: int) -> None:
    plain = Console(width=width)
    with plain.capture() as capture:
        plain.print(scores_table(FIGURES, "macro_f1", MODES))  # type: ignore[arg-type]
    assert all(len(line.rstrip()) <= width for line in capture.get().splitlines())
    assert "0.8000" in capture.get()
