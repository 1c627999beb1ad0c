"""Shows an ensemble's training: members by folds, live in a terminal, a line a fold model elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from foldtune.results.tables.formatting import duration_text
from foldtune.search.cli.display.live import bar, live
from foldtune.search.ensemble.build import Watcher
from foldtune.search.ensemble.racing import Dropped
from foldtune.search.workers.fold_model import FoldOutcome


class FoldTable:
    """Members in rows, folds in columns: waiting, dropped, or the value of the finished fold model.

    Args:
        members: trial ids of the finalists.
        folds: number of folds of each.
    """

    def __init__(self, members: Sequence[str], folds: int) -> None:
        self._members = list(members)
        self._folds = folds
        self._outcomes: dict[tuple[str, int], FoldOutcome] = {}
        self._dropped: dict[str, Dropped] = {}
        self._started_s = time.monotonic()

    def on_outcome(self, outcome: FoldOutcome) -> None:
        """Add a fold model that is ready or failed."""
        self._outcomes[outcome.member, outcome.fold] = outcome

    def on_dropped(self, dropped: Sequence[Dropped]) -> None:
        """Add members that are dropped from the race."""
        self._dropped |= {each.member: each for each in dropped}

    def has(self, outcome: FoldOutcome) -> bool:
        """Return whether the table holds that fold model."""
        return (outcome.member, outcome.fold) in self._outcomes

    @property
    def ready(self) -> int:
        """Number of fold models that are ready or failed."""
        return len(self._outcomes)

    @property
    def total(self) -> int:
        """Number of fold models in all; of dropped members those of the race alone."""
        raced = sum(member in self._dropped for member, _ in self._outcomes)
        return (len(self._members) - len(self._dropped)) * self._folds + raced

    def __rich__(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("trial")
        for fold in range(self._folds):
            table.add_column(f"fold {fold}", justify="right")
        for member in self._members:
            style = "dim strike" if member in self._dropped else ""
            table.add_row(Text(member, style=style), *(self._cell(member, fold) for fold in range(self._folds)))
        elapsed = duration_text(time.monotonic() - self._started_s)
        head = Text.assemble((f"{self.ready}/{self.total} fold models", "bold"), f" · {elapsed}")
        return Group(head, bar(self.ready, self.total), table, *self._legend())

    def _legend(self) -> list[Text]:
        lines = []
        if any(outcome.reused for outcome in self._outcomes.values()):
            lines.append(Text.assemble(("cyan", "cyan"), (": the search's own model", "dim")))
        if self._dropped:
            lines.append(Text(f"out: {len(self._dropped)} clearly weaker after two folds", style="dim"))
        return lines

    def _cell(self, member: str, fold: int) -> Text:
        outcome = self._outcomes.get((member, fold))
        if outcome is None:
            return Text("out" if member in self._dropped else "…", style="dim")
        if outcome.value is None:
            return Text("failed", style="red")
        if member in self._dropped:
            return Text(f"{outcome.value:.4f}", style="dim")
        return Text(f"{outcome.value:.4f}", style="cyan" if outcome.reused else "green")


class FoldLines:
    """One line a fold model, for logs and pipes; a fold model that several stages report is printed once."""

    def __init__(self, console: Console, table: FoldTable) -> None:
        self._console = console
        self._table = table

    def on_outcome(self, outcome: FoldOutcome) -> None:
        """Print a fold model that is new."""
        if not self._table.has(outcome):
            self._table.on_outcome(outcome)
            self._print(fold_line(outcome, self._table.ready, self._table.total))

    def on_dropped(self, dropped: Sequence[Dropped]) -> None:
        """Print the members that are dropped, each with the reason."""
        self._table.on_dropped(dropped)
        for each in dropped:
            self._print(f"trial {each.member} drops out: {each.reason}")

    def _print(self, text: str) -> None:
        self._console.print(text, soft_wrap=True, markup=False)


def fold_line(outcome: FoldOutcome, ready: int, total: int) -> str:
    """Return a fold model that is ready or failed in one line."""
    result = outcome.error or f"{outcome.value:.4f}" + (" (the search's own model)" if outcome.reused else "")
    return f"[{ready}/{total}] trial {outcome.member} fold {outcome.fold}: {result}"


@contextmanager
def show_folds(console: Console, members: Sequence[str], folds: int) -> Iterator[Watcher]:
    """Yield a watcher of fold models: a live table in a terminal, one line a fold model elsewhere."""
    table = FoldTable(members, folds)
    if not console.is_terminal:
        yield FoldLines(console, table)
        return
    with live(console, table):
        yield table
