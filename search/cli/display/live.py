"""Shows a running search and an ensemble's training: a live table in a terminal, lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foldtune.results.records.trials import TrialRecord
from foldtune.results.runs.ensemble_dir import model_name
from foldtune.results.tables.formatting import duration_text
from foldtune.results.tables.leaderboard_table import STATUS_STYLES
from foldtune.search.cli.terminal import note
from foldtune.search.ensemble.fold_training import Watcher
from foldtune.search.ensemble.racing import Dropped
from foldtune.search.tuning.monitor import Observer, SearchState
from foldtune.search.workers.fold_job import FoldOutcome


def headline(state: SearchState) -> Text:
    """Return one line: finished trials of all, their number by status, time elapsed and remaining, expected end."""
    parts = [Text(f"{state.finished}/{state.total} trials", style="bold")]
    parts += [
        Text(f"{count} {status.lower()}", style=STATUS_STYLES.get(status, ""))
        for status, count in sorted(state.counts.items())
    ]
    budget = state.time.budget
    if budget.is_limited:
        parts.append(Text(f"{duration_text(budget.used_s())} of {duration_text(budget.total_s)}"))
    else:
        parts.append(Text(duration_text(time.monotonic() - state.started_s)))
    left = state.remaining_s()
    if left is not None and state.finished < state.total:
        follows = state.time.reserve_s
        then = f", then folds and vote {duration_text(follows)}" if follows else ""
        end = datetime.now() + timedelta(seconds=left + follows)
        parts.append(Text(f"about {duration_text(left)} left{then} · ends about {end:%H:%M}", style="dim"))
    return Text(" · ").join(parts)


def best_line(state: SearchState) -> Text:
    """Return the best value so far and its trial."""
    if state.best is None:
        return Text("no epoch has finished yet", style="dim")
    trial_id, value = state.best
    return Text.assemble(f"best {state.goal.metric} ", (f"{value:.4f}", "bold green"), f" (trial {trial_id})")


def render(state: SearchState) -> RenderableType:
    """Return the live view: headline, progress, running trials, the best value so far."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("trial", "epoch", state.goal.metric, "running for"):
        table.add_column(column, justify="left" if column == "trial" else "right")
    for trial in list(state.running.values()):
        value = "" if trial.value is None else f"{trial.value:.4f}"
        running_for = duration_text(time.monotonic() - trial.started_s)
        table.add_row(trial.trial_id, f"{trial.epoch}/{state.max_epochs}", value, running_for)
    epochs = sum(trial.epoch / state.max_epochs for trial in list(state.running.values()))
    done = min(state.total, state.finished + epochs)
    return Group(headline(state), bar(done, state.total), table, best_line(state))


def bar(done: float, total: float) -> RenderableType:
    """Return a progress bar on a line of its own."""
    return Padding(ProgressBar(total=total, completed=done, width=40), 0)  # alone, a bar does not end its line


STOPPING = "stopping … epochs that have finished are kept; once more ends it at once"
"""Line at the first Ctrl-C."""


class _View:
    """Renders the latest state at each refresh, in rich's own thread."""

    def __init__(self) -> None:
        self.state: SearchState | None = None

    def __rich__(self) -> RenderableType:
        return Text("starting workers …", style="dim") if self.state is None else render(self.state)


class LiveObserver:
    """Passes the state to the view; a failed trial also leaves a line above it."""

    def __init__(self, view: _View, console: Console) -> None:
        self._view = view
        self._console = console

    def on_epoch(self, state: SearchState, trial_id: str) -> None:
        """Update the state."""
        self._view.state = state

    def on_finished(self, state: SearchState, record: TrialRecord) -> None:
        """Update the state, and print the reason of a failure above the view."""
        self._view.state = state
        if record.error:
            self._console.print(finished_line(state, record))

    def on_interrupt(self) -> None:
        """Print above the view that the search is stopping."""
        note(STOPPING, self._console)


class LineObserver:
    """One line a finished trial, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def on_epoch(self, state: SearchState, trial_id: str) -> None:
        """Print nothing: an epoch is not worth a line."""

    def on_finished(self, state: SearchState, record: TrialRecord) -> None:
        """Print the trial's outcome and the progress of the search."""
        self._console.print(finished_line(state, record), soft_wrap=True)

    def on_interrupt(self) -> None:
        """Print that the search is stopping."""
        note(STOPPING, self._console)


def finished_line(state: SearchState, record: TrialRecord) -> Text:
    """Return a finished trial in one line."""
    value = record.metrics.get(state.goal.metric)
    result = record.error or (f"{state.goal.metric} {value:.4f}" if value is not None else "")
    best = f" · best {state.best[1]:.4f} (trial {state.best[0]})" if state.best else ""
    return Text.assemble(
        f"[{state.finished}/{state.total}] trial {record.trial_id} ",
        (record.status, STATUS_STYLES.get(record.status, "")),
        f" after {record.epochs} epochs: {result}{best}",
    )


@contextmanager
def show_search(console: Console) -> Iterator[Observer]:
    """Yield an observer: a live view in a terminal, lines elsewhere."""
    if not console.is_terminal:
        yield LineObserver(console)
        return
    view = _View()
    with live(console, view):
        yield LiveObserver(view, console)


@contextmanager
def live(console: Console, view: RenderableType) -> Iterator[None]:
    """Show a view in the terminal while a block runs."""
    with Live(view, console=console, refresh_per_second=2, transient=True):
        yield


class FoldTable:
    """Members in rows, folds in columns: waiting, dropped, or the value of the first seed's finished fold model.

    Args:
        members, folds, expected_s, models: as for `show_folds`.
    """

    def __init__(
        self, members: Sequence[str], folds: int, expected_s: float | None = None, models: int | None = None
    ) -> None:
        self._members = list(members)
        self._folds, self._expected_s, self._models = folds, expected_s, models or folds
        self._outcomes: dict[tuple[str, int, int], FoldOutcome] = {}
        self._dropped: dict[str, Dropped] = {}
        self._started_s = time.monotonic()

    def on_outcome(self, outcome: FoldOutcome) -> None:
        """Add a fold model that is ready or failed."""
        self._outcomes[outcome.member, outcome.fold, outcome.seed] = outcome

    def on_dropped(self, dropped: Sequence[Dropped]) -> None:
        """Add members that are dropped from the race."""
        self._dropped |= {each.member: each for each in dropped}

    def has(self, outcome: FoldOutcome) -> bool:
        """Return whether the table holds that fold model."""
        return (outcome.member, outcome.fold, outcome.seed) in self._outcomes

    @property
    def ready(self) -> int:
        """Number of fold models that are ready or failed."""
        return len(self._outcomes)

    @property
    def total(self) -> int:
        """Number of fold models in all; of dropped members those of the race alone."""
        raced = sum(member in self._dropped for member, *_ in self._outcomes)
        return (len(self._members) - len(self._dropped)) * self._models + raced

    def __rich__(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("trial")
        for fold in range(self._folds):
            table.add_column(f"fold {fold}", justify="right")
        for member in self._members:
            style = "dim strike" if member in self._dropped else ""
            table.add_row(Text(member, style=style), *(self._cell(member, fold) for fold in range(self._folds)))
        elapsed_s = time.monotonic() - self._started_s
        left_s = 0.0 if self._expected_s is None else self._expected_s - elapsed_s
        end = f" · ends about {datetime.now() + timedelta(seconds=left_s):%H:%M}" if left_s > 0 else ""
        head = Text.assemble((f"{self.ready}/{self.total} fold models", "bold"), f" · {duration_text(elapsed_s)}{end}")
        return Group(head, bar(self.ready, self.total), table, *self._legend())

    def _legend(self) -> list[Text]:
        lines = []
        if any(outcome.reused for outcome in self._outcomes.values()):
            lines.append(Text.assemble(("cyan", "cyan"), (": the search's own model", "dim")))
        if self._dropped:
            lines.append(Text(f"out: {len(self._dropped)} clearly weaker after two folds", style="dim"))
        return lines

    def _cell(self, member: str, fold: int) -> Text:
        outcome = self._outcomes.get((member, fold, 0))
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
    value = "trained, no row held out" if outcome.value is None else f"{outcome.value:.4f}"
    result = outcome.error or value + (" (the search's own model)" if outcome.reused else "")
    name = model_name(outcome.fold, outcome.seed).replace("_", " ")
    return f"[{ready}/{total}] trial {outcome.member} {name}: {result}"


@contextmanager
def show_folds(
    console: Console,
    members: Sequence[str],
    folds: int,
    expected_s: float | None = None,
    models: int | None = None,
) -> Iterator[Watcher]:
    """Yield a watcher of fold models: a live table in a terminal, one line a fold model elsewhere.

    Args:
        expected_s: forecast of the seconds of all of it, None where there is none.
        models: models a member, `folds` by default.
    """
    table = FoldTable(members, folds, expected_s, models)
    if not console.is_terminal:
        yield FoldLines(console, table)
        return
    with live(console, table):
        yield table
