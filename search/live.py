"""Shows a running search: a live table in a terminal, one line a finished trial elsewhere."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from results.formatting import duration_text
from results.records import TrialRecord
from results.tables import STATUS_STYLES
from search.finalists import FoldOutcome
from search.monitor import Observer, SearchState


def headline(state: SearchState) -> Text:
    """One line: trials done of all, by status, time gone and left."""
    parts = [Text(f"{state.finished}/{state.total} trials", style="bold")]
    parts += [
        Text(f"{count} {status.lower()}", style=STATUS_STYLES.get(status, ""))
        for status, count in sorted(state.counts.items())
    ]
    parts.append(Text(duration_text(time.monotonic() - state.started_s)))
    left = state.left_s()
    if left is not None and state.finished < state.total:
        parts.append(Text(f"about {duration_text(left)} left", style="dim"))
    return Text(" · ").join(parts)


def best_line(state: SearchState) -> Text:
    """The best value so far and whose it is."""
    if state.best is None:
        return Text("no epoch has finished yet", style="dim")
    trial_id, value = state.best
    return Text.assemble(f"best {state.goal.metric} ", (f"{value:.4f}", "bold green"), f" (trial {trial_id})")


def render(state: SearchState) -> RenderableType:
    """The live view: headline, progress, running trials, the best so far."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("trial", "epoch", state.goal.metric, "running for"):
        table.add_column(column, justify="left" if column == "trial" else "right")
    for trial in list(state.running.values()):
        value = "" if trial.value is None else f"{trial.value:.4f}"
        running_for = duration_text(time.monotonic() - trial.started_s)
        table.add_row(trial.trial_id, f"{trial.epoch}/{state.max_epochs}", value, running_for)
    epochs = sum(trial.epoch / state.max_epochs for trial in list(state.running.values()))
    done = min(state.total, state.finished + epochs)
    return Group(headline(state), _bar(done, state.total), table, best_line(state))


def _bar(done: float, total: float) -> RenderableType:
    return Padding(ProgressBar(total=total, completed=done, width=40), 0)  # alone, a bar does not end its line


class _View:
    """Renders the state of the moment each time that rich refreshes, in rich's own thread."""

    def __init__(self) -> None:
        self.state: SearchState | None = None

    def __rich__(self) -> RenderableType:
        return Text("starting workers …", style="dim") if self.state is None else render(self.state)


class LiveObserver:
    """Hands the state to the view; a failed trial also leaves a line above it."""

    def __init__(self, view: _View, console: Console) -> None:
        self._view = view
        self._console = console

    def on_epoch(self, state: SearchState, trial_id: str) -> None:
        """Show the state as it is now."""
        self._view.state = state

    def on_finished(self, state: SearchState, record: TrialRecord) -> None:
        """Show the state as it is now, and a failure's reason for good."""
        self._view.state = state
        if record.error:
            self._console.print(finished_line(state, record))


class LineObserver:
    """One line a finished trial, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def on_epoch(self, state: SearchState, trial_id: str) -> None:
        """Epochs are not worth a line each."""

    def on_finished(self, state: SearchState, record: TrialRecord) -> None:
        """Print the trial's outcome and where the search stands."""
        self._console.print(finished_line(state, record), soft_wrap=True)


def finished_line(state: SearchState, record: TrialRecord) -> Text:
    """A finished trial in one line."""
    value = record.metrics.get(state.goal.metric)
    result = record.error or (f"{state.goal.metric} {value:.4f}" if value is not None else "")
    best = f" · best {state.best[1]:.4f} (trial {state.best[0]})" if state.best else ""
    return Text.assemble(
        f"[{state.finished}/{state.total}] trial {record.trial_id} ",
        (record.status, STATUS_STYLES.get(record.status, "")),
        f" after {record.epochs} epochs: {result}{best}",
    )


@contextmanager
def showing(console: Console) -> Iterator[Observer]:
    """An observer that fits where the output goes."""
    if not console.is_terminal:
        yield LineObserver(console)
        return
    view = _View()
    with live(console, view):
        yield LiveObserver(view, console)


class FoldTable:
    """Members in rows, folds in columns: waiting, or the value of the fold model that is ready."""

    def __init__(self, trial_ids: Sequence[str], folds: int) -> None:
        self._trial_ids = list(trial_ids)
        self._folds = folds
        self._ready: dict[tuple[str, int], FoldOutcome] = {}
        self._started_s = time.monotonic()

    def on_outcome(self, outcome: FoldOutcome) -> None:
        """Take in a fold model."""
        self._ready[outcome.trial_id, outcome.fold] = outcome

    def __rich__(self) -> RenderableType:
        total = len(self._trial_ids) * self._folds
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("trial")
        for fold in range(self._folds):
            table.add_column(f"fold {fold}", justify="right")
        for trial_id in self._trial_ids:
            table.add_row(trial_id, *(self._cell(trial_id, fold) for fold in range(self._folds)))
        elapsed = duration_text(time.monotonic() - self._started_s)
        head = Text.assemble((f"{len(self._ready)}/{total} fold models", "bold"), f" · {elapsed}")
        return Group(head, _bar(len(self._ready), total), table, *self._legend())

    def _legend(self) -> list[Text]:
        reused = any(outcome.reused for outcome in self._ready.values())
        return [Text.assemble(("0.0000", "cyan"), (" the search's own model", "dim"))] if reused else []

    def _cell(self, trial_id: str, fold: int) -> Text:
        outcome = self._ready.get((trial_id, fold))
        if outcome is None:
            return Text("…", style="dim")
        if outcome.value is None:
            return Text("failed", style="red")
        return Text(f"{outcome.value:.4f}", style="cyan" if outcome.reused else "green")


def fold_line(outcome: FoldOutcome, ready: int, total: int) -> str:
    """A fold model that is ready, or failed, in one line."""
    result = outcome.error or f"{outcome.value:.4f}" + (" (the search's own model)" if outcome.reused else "")
    return f"[{ready}/{total}] trial {outcome.trial_id} fold {outcome.fold}: {result}"


@contextmanager
def showing_folds(console: Console, trial_ids: Sequence[str], folds: int) -> Iterator[Callable[[FoldOutcome], None]]:
    """What to tell each fold model to: a live table in a terminal, one line a fold model elsewhere."""
    table = FoldTable(trial_ids, folds)
    if console.is_terminal:
        with live(console, table):
            yield table.on_outcome
        return
    ready = itertools.count(1)

    def print_line(outcome: FoldOutcome) -> None:
        text = fold_line(outcome, next(ready), len(trial_ids) * folds)
        console.print(text, soft_wrap=True, markup=False)

    yield print_line


@contextmanager
def live(console: Console, view: RenderableType) -> Iterator[None]:
    """Keep a view on the terminal while a block runs."""
    with Live(view, console=console, refresh_per_second=2, transient=True):
        yield
