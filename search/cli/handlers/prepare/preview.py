"""`foldtune preview`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldtune.paths import check_not_read
from foldtune.results.exports.contact_sheet import write_sheets
from foldtune.search.assess.preview import preview
from foldtune.search.cli.terminal import note
from foldtune.search.config.targets import read_config_file
from foldtune.search.runs.target_checks import check_targets
from foldtune.search.runs.validation import check_raw


def preview_augmentations(config: Path, override: Sequence[str], file: Path, rows: int, seed: int) -> None:
    """Write the contact sheet of a checked configuration as a PNG.

    Args:
        config: the YAML file.
        override: texts KEY.PATH=VALUE.
        file: the PNG to write.
        rows: number of images, >= 1.
        seed: seed of the choice of images and of the augmentations, >= 0.
    """
    given = read_config_file(config, override)
    targets = given.targets
    checked = [check_raw(given.raw, given.folder)] if targets is None else [*check_targets(targets).targets.values()]
    check_not_read(file, (config, *(table for each in checked for table in each.config.data.tables)))
    sheets = [preview(each, rows, seed) for each in checked]
    width, height = write_sheets(file, sheets)
    images = sum(len(sheet.rows) for sheet in sheets)
    titles = dict.fromkeys(group.title for sheet in sheets for group in sheet.groups)
    note(f"{file}: {images} images, {', '.join(titles)} ({width}x{height} px)")
