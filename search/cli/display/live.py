"""Shows a running search: a live table in a terminal, one line a finished trial elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from foldtune.results.runs.records import TrialRecord
from foldtune.results.tables.formatting import duration_text
from foldtune.results.tables.leaderboard_table import STATUS_STYLES
from foldtune.search.cli.terminal import note
from foldtune.search.tuning.monitor import Observer, SearchState


def headline(state: SearchState) -> Text:
    """Return one line: finished trials of all, their number by status, time elapsed and remaining."""
    parts = [Text(f"{state.finished}/{state.total} trials", style="bold")]
    parts += [
        Text(f"{count} {status.lower()}", style=STATUS_STYLES.get(status, ""))
        for status, count in sorted(state.counts.items())
    ]
    parts.append(Text(duration_text(time.monotonic() - state.started_s)))
    left = state.remaining_s()
    if left is not None and state.finished < state.total:
        parts.append(Text(f"about {duration_text(left)} left", style="dim"))
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
