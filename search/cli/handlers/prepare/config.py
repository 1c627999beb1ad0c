"""`foldtune validate` and `preview`: a configuration before a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from foldtune.errors import InputError
from foldtune.paths import check_not_read
from foldtune.results.exports.contact_sheet import write_sheets
from foldtune.search.assess.forecast import Forecast, forecast, known_forecast
from foldtune.search.assess.preview import preview
from foldtune.search.assess.train_check import batch_sheet, check_training
from foldtune.search.checks.pretrained import find_weights, weight_notes
from foldtune.search.cli.display.forecast import forecast_line, forecast_table
from foldtune.search.cli.display.progress import progress_bar
from foldtune.search.cli.display.summary import summary
from foldtune.search.cli.display.train_check import doubts_of, train_check_lines
from foldtune.search.cli.terminal import note, output
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.target_checks import check_config
from foldtune.search.runs.validation import Checked
from foldtune.trainers.fitting.overfit import MAX_PASSES

TRAIN_S = 25.0
"""Seconds in which the batches of a configuration are learned, of several targets together."""


def validate_config(
    config: Path, override: Sequence[str], train: bool, batch: Path | None, *, with_forecast: bool = False
) -> None:
    """Check a configuration, of several targets each, and print what it comes down to.

    Args:
        train: whether two batches are trained, too.
        batch: the PNG of a batch; NAME-batch.png by default.
        with_forecast: whether to time a step of each model, and print how long the whole takes.

    Raises:
        InputError: every problem of the configuration, its data and its search space.
        typer.Exit: with 1, where the training of two batches is doubtful.
    """
    if batch is not None and not train:
        raise InputError("--output: shows a batch of --train; give both")
    every = check_config(read_config_file(config, override))
    if train:
        batch = batch or Path(f"{every[0].config.name}-batch.png")
        check_not_read(batch, (config, *(table for each in every for table in each.config.data.tables)))
    for checked in every:
        notes = (*checked.notes, *weight_notes(find_weights(checked.space)))
        output().print(summary(replace(checked, notes=notes)))
        if with_forecast:
            print_forecast(checked)
        elif (known := known_forecast(checked)) is not None:
            note(f"by the trials of run {checked.config.name!r}: {forecast_line(known)}")
    if train:
        _train(every, batch or Path())


def _train(every: Sequence[Checked], batch: Path) -> None:
    with progress_bar("training two batches") as progress:
        seconds = TRAIN_S / len(every)
        checks = [
            check_training(checked, seconds, lambda passes, loss: progress(passes, MAX_PASSES)) for checked in every
        ]
    write_sheets(batch, [batch_sheet(check) for check in checks])
    for check in checks:
        output().print(train_check_lines(check, str(batch)))
    if any(doubts_of(check) for check in checks):
        raise typer.Exit(1)


def print_forecast(checked: Checked) -> Forecast:
    """Time a step of each model, and print how long the whole takes."""
    found = forecast(checked)
    output().print(forecast_table(found))
    return found


def preview_augmentations(config: Path, override: Sequence[str], file: Path, rows: int, seed: int) -> None:
    """Write the contact sheet of a checked configuration, with so many images, as a PNG; arguments as the command's."""
    checked = check_config(read_config_file(config, override))
    check_not_read(file, (config, *(table for each in checked for table in each.config.data.tables)))
    sheets = [preview(each, rows, seed) for each in checked]
    width, height = write_sheets(file, sheets)
    images = sum(len(sheet.rows) for sheet in sheets)
    titles = dict.fromkeys(group.title for sheet in sheets for group in sheet.groups)
    note(f"{file}: {images} images, {', '.join(titles)} ({width}x{height} px)")
