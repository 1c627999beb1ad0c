"""What is shown of an ensemble's training."""

from __future__ import annotations

import io

from rich.console import Console

from search.finalists import FoldOutcome
from search.live import FoldTable, fold_line, showing_folds

READY = FoldOutcome("0004", 0, 0.9123, reused=True)
TRAINED = FoldOutcome("0004", 1, 0.9)
FAILED = FoldOutcome("0011", 1, None, error="loss became nan at epoch 2")


def render(table: FoldTable) -> list[str]:
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_the_table_shows_members_by_folds() -> None:
    table = FoldTable(["0004", "0011"], 3)
    assert render(table)[0].startswith("0/6 fold models")
    for outcome in (READY, TRAINED, FAILED):
        table.on_outcome(outcome)
    lines = render(table)
    assert lines[0].startswith("3/6 fold models")
    assert lines[2].split() == ["trial", "fold", "0", "fold", "1", "fold", "2"]
    assert lines[3].split() == ["0004", "0.9123", "0.9000", "…"]
    assert lines[4].split() == ["0011", "…", "failed", "…"]
    assert lines[5].endswith("the search's own model")


def test_without_a_terminal_each_fold_model_is_a_line() -> None:
    text = io.StringIO()
    with showing_folds(Console(file=text), ["0004", "0011"], 2) as tell:
        for outcome in (READY, TRAINED, FAILED):
            tell(outcome)
    assert text.getvalue().splitlines() == [
        "[1/4] trial 0004 fold 0: 0.9123 (the search's own model)",
        "[2/4] trial 0004 fold 1: 0.9000",
        "[3/4] trial 0011 fold 1: loss became nan at epoch 2",
    ]


def test_in_a_terminal_a_table_follows() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with console.capture() as capture, showing_folds(console, ["0004"], 2) as tell:
        tell(TRAINED)
    assert "1/2 fold models" in capture.get()


def test_a_reason_in_brackets_is_shown_as_it_is() -> None:
    assert fold_line(FoldOutcome("1", 0, None, error="[bold]"), 1, 1).endswith("[bold]")
