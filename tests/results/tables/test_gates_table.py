"""Gates and their results in the terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import RenderableType

from foldtune.results.tables.gates_table import gates_table

Lines = Callable[[RenderableType, int], list[str]]

RESULTS: list[dict[str, Any]] = [
    {"condition": "f1 > 0.5", "metric": "f1", "value": 0.625, "margin": 0.125, "passed": True},
    {"condition": "support > 99", "metric": "support", "value": 40, "margin": -59.0, "passed": False},
    {"condition": "mAP > 0.9", "metric": "mAP", "value": None, "margin": None, "passed": False},
]


def test_a_title_longer_than_the_table_stays_in_one_line(lines: Lines) -> None:
    title = "a run with a name that is longer than its conditions: cross-fitted figures"
    assert lines(gates_table(RESULTS[:1], title=title), 80)[0] == title


def test_each_result_has_its_value_and_its_margin(lines: Lines) -> None:
    _, _, passed, failed, missing, _ = lines(gates_table(RESULTS, title="gates"), 80)
    assert passed.split() == ["f1", ">", "0.5", "0.6250", "+0.1250", "pass"]
    assert failed.split() == ["support", ">", "99", "40", "-59", "FAIL"]
    assert missing.split() == ["mAP", ">", "0.9", "–", "–", "FAIL"]


def test_the_caption_counts_the_failed(lines: Lines) -> None:
    assert lines(gates_table(RESULTS, title="gates"), 80)[-1].rstrip() == "2 of 3 conditions fail"
    assert lines(gates_table(RESULTS[:1], title="gates"), 80)[-1].rstrip() == "the condition holds"
