"""One trial as terminal tables: its parameters, its epochs, and the whole reason of a failure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from foldtune.results.records.trials import EpochRow, TrialRecord
from foldtune.results.tables.columns import Column, build_table, fit_columns, fitted_table, titled
from foldtune.results.tables.formatting import duration_text, metric_text, number_text, parameter_text
from foldtune.results.tables.leaderboard_table import STATUS_STYLES


def trial_view(
    record: TrialRecord,
    epochs: Sequence[EpochRow],
    deaths: Sequence[Mapping[str, Any]],
    log: str,
    *,
    width: int | None = None,
) -> Group:
    """Return all that is stored of a trial but its scores.

    ``deaths`` are those of its workers, {epoch, reason} each; ``log`` is the traceback of a failure, "" without one.
    """
    parts: list[RenderableType] = [
        Text.assemble(
            "trial ",
            (record.trial_id, "bold"),
            ": ",
            (record.status.lower(), STATUS_STYLES.get(record.status, "")),
            f" after {record.epochs} epochs, {duration_text(record.fit_time_s)} of training",
        )
    ]
    if record.params:
        parts.append(titled("parameters", _parameters(record.params, width)))
    if epochs:
        parts.append(titled("epochs", _epochs(epochs, width)))
    for death in deaths:
        parts.append(Text(f"a worker died after epoch {death.get('epoch')}: {death.get('reason')}", style="yellow"))
    if record.error:
        parts.append(Text(f"error: {record.error}", style="red"))
    if log:
        parts.append(Text(log.rstrip(), style="dim"))
    return Group(*parts)


def _parameters(params: Mapping[str, Any], width: int | None) -> Table:
    columns = [
        Column("name", tuple(map(Text, params)), 0, right=False, limit=60),
        Column("value", tuple(Text(parameter_text(value)) for value in params.values()), 0, limit=60),
    ]
    return build_table(fit_columns(columns, width)[0])


def _epochs(epochs: Sequence[EpochRow], width: int | None) -> Table:
    names = list(dict.fromkeys(name for row in epochs for name in row.metrics))
    best = epochs[-1].best_epoch
    numbers = tuple(Text(str(row.epoch), style="bold green" if row.epoch == best else "") for row in epochs)
    columns = [Column("epoch", numbers, 0)]
    for place, name in enumerate(names):
        cells = tuple(Text(metric_text(row.metrics.get(name))) for row in epochs)
        columns.append(Column(name, cells, min(place, 5)))
    columns += [
        Column("lr", tuple(Text(number_text(row.lr)) for row in epochs), 3),
        Column("time", tuple(Text(duration_text(row.time_s)) for row in epochs), 2),
        Column("img/s", tuple(Text(number_text(row.images_per_s)) for row in epochs), 4),
        Column("micro-batch", tuple(Text(str(row.micro_batch_size)) for row in epochs), 5),
    ]
    return fitted_table(columns, width, "--format csv")
