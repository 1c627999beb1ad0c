"""What is shown of an ensemble's training: in a terminal, and elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from foldtune.search.cli.display.live import FoldTable, fold_line, show_folds
from foldtune.search.cli.terminal import note
from foldtune.search.ensemble.racing import Dropped
from foldtune.search.voting.bootstrap import Interval
from foldtune.search.workers.fold_job import FoldOutcome

READY = FoldOutcome("0004", 0, 0.9123, reused=True)
TRAINED = FoldOutcome("0004", 1, 0.9)
FAILED = FoldOutcome("0011", 1, None, error="loss became nan at epoch 2")
OUT = Dropped("0011", 0.7, "0004", Interval(-0.2, -0.3, -0.1), "macro_f1")


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


def test_who_drops_out_is_counted_and_shown_as_out() -> None:
    table = FoldTable(["0004", "0011"], 3)
    for fold in (0, 1):
        for member in ("0004", "0011"):
            table.on_outcome(FoldOutcome(member, fold, 0.5))
    assert render(table)[0].startswith("4/6 fold models")
    table.on_dropped([OUT])
    lines = render(table)
    assert lines[0].startswith("4/5 fold models")
    assert lines[4].split() == ["0011", "0.5000", "0.5000", "out"]
    assert lines[-1] == "out: 1 clearly weaker after two folds"


def test_a_note_stands_above_the_live_table() -> None:
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=80, highlight=False)
    with show_folds(console, ["0004", "0011"], 3) as watcher:
        watcher.on_outcome(READY)
        note("4 of 6 fold models to train", console)
    before, after = text.getvalue().split("4 of 6 fold models to train")
    assert before.removesuffix("\x1b[2m").endswith("\x1b[2K"), "the table's lines are erased first"
    assert "0004" in after


def test_a_line_gives_the_reason_of_an_elimination() -> None:
    text = io.StringIO()
    with show_folds(Console(file=text), ["0004", "0011"], 3) as watcher:
        watcher.on_outcome(FoldOutcome("0011", 0, 0.7))
        watcher.on_dropped([OUT])
        watcher.on_outcome(READY)
    assert text.getvalue().splitlines() == [
        "[1/6] trial 0011 fold 0: 0.7000",
        "trial 0011 drops out: macro_f1 0.7000 after two folds, -0.2000 [-0.3000, -0.1000] against 0004",
        "[2/4] trial 0004 fold 0: 0.9123 (the search's own model)",
    ]


def test_without_a_terminal_each_fold_model_is_a_line() -> None:
    text = io.StringIO()
    with show_folds(Console(file=text), ["0004", "0011"], 2) as watcher:
        for outcome in (READY, TRAINED, FAILED, READY):
            watcher.on_outcome(outcome)
    assert text.getvalue().splitlines() == [
        "[1/4] trial 0004 fold 0: 0.9123 (the search's own model)",
        "[2/4] trial 0004 fold 1: 0.9000",
        "[3/4] trial 0011 fold 1: loss became nan at epoch 2",
    ]


def test_in_a_terminal_a_table_follows() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with console.capture() as capture, show_folds(console, ["0004"], 2) as watcher:
        watcher.on_outcome(TRAINED)
    assert "1/2 fold models" in capture.get()


def test_a_reason_in_brackets_is_shown_as_it_is() -> None:
    assert fold_line(FoldOutcome("1", 0, None, error="[bold]"), 1, 1).endswith("[bold]")
