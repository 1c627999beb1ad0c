"""`foldtune preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.options import ConfigFile, Overrides
from foldtune.search.cli.terminal import note


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def preview(
        config: ConfigFile,
        file: Annotated[
            Path, typer.Option("--output", "-o", metavar="F", help="The PNG to write.", show_default=False)
        ],
        rows: Annotated[int, typer.Option(min=1, max=100, help="Images, of each class in turn.")] = 6,
        seed: Annotated[int, typer.Option(min=0, help="Of the images and of the augmentations' chance.")] = 0,
        override: Overrides = None,
    ) -> None:
        """Draw training images as every augmentation of the space shows them: a contact sheet to look at.

        One group of columns for each augmentation (and crop) that a trial may choose, at its defaults and at both ends
        of each range; labels on the left. Of several targets each has a part
        of the sheet. The configuration is checked first, as by validate.

        foldtune preview skin.yaml --output preview.png --rows 8
        """
        from foldtune.results.exports.contact_sheet import write_sheets
        from foldtune.search.assess.preview import preview as build
        from foldtune.search.config.targets import read_targets
        from foldtune.search.runs.target_checks import check_targets
        from foldtune.search.runs.validation import check_file

        several = read_targets(config, override or [])
        checked = [check_file(config, override or [])] if several is None else check_targets(several).targets.values()
        sheets = [build(each, rows, seed) for each in checked]
        width, height = write_sheets(file, sheets)
        images = sum(len(sheet.rows) for sheet in sheets)
        titles = dict.fromkeys(group.title for sheet in sheets for group in sheet.groups)
        note(f"{file}: {images} images, {', '.join(titles)} ({width}x{height} px)")
