"""Titles and notes of tables are not wrapped at the width of a narrow table."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import RenderableType

from foldtune.results.records.ranking import Goal
from foldtune.results.tables.refit_table import refit_table, sweep_table

Lines = Callable[[RenderableType, int], list[str]]


def test_title_and_caption_of_a_narrow_table_take_the_whole_width(lines: Lines) -> None:
    title = "trial 0001 of run skin, 2,003 rows that it was not trained on"
    swept = [{"values": {"threshold": 0.5}, "metrics": {"f1": 0.25}}]
    assert lines(sweep_table(swept, {"f1": "max"}, title=title, width=160), 160)[0] == title
    offsets = {f"class {number}": 0.25 for number in range(8)}
    row = {"trial_id": "0001", "before": 0.5, "tuned": 0.75, "fitted": 0.8, "postprocess": {"offsets": offsets}}
    shown = lines(refit_table([row], Goal("macro_f1", "max"), 20), 160)
    assert shown[0] == "macro_f1, post-processing refitted"
    assert "+0.2500" in shown[2]
    assert shown[3] == "offsets: " + ", ".join(f"{label} 0.25" for label in offsets)
