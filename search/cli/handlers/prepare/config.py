"""`foldtune validate` and `preview`: a configuration before a search."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldtune.paths import check_not_read
from foldtune.results.exports.contact_sheet import write_sheets
from foldtune.search.assess.preview import preview
from foldtune.search.cli.display.summary import summary
from foldtune.search.cli.terminal import note, output
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.target_checks import check_config


def validate_config(config: Path, override: Sequence[str]) -> None:
    """Check a configuration, of several targets each, and print what it comes down to.

    Raises:
        InputError: every problem of the configuration, its data and its search space.
    """
    for checked in check_config(read_config_file(config, override)):
        output().print(summary(checked))


def preview_augmentations(config: Path, override: Sequence[str], file: Path, rows: int, seed: int) -> None:
    """Write the contact sheet of a checked configuration, with so many images, as a PNG; arguments as the command's."""
    checked = check_config(read_config_file(config, override))
    check_not_read(file, (config, *(table for each in checked for table in each.config.data.tables)))
    sheets = [preview(each, rows, seed) for each in checked]
    width, height = write_sheets(file, sheets)
    images = sum(len(sheet.rows) for sheet in sheets)
    titles = dict.fromkeys(group.title for sheet in sheets for group in sheet.groups)
    note(f"{file}: {images} images, {', '.join(titles)} ({width}x{height} px)")
