"""`foldtune preview`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import ConfigFile, Overrides
from search.cli.terminal import note


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
        of each range; labels on the left. The configuration is checked first, as by validate.

        foldtune preview skin.yaml --output preview.png --rows 8
        """
        from results.contactsheet import write_sheet
        from search.preview import preview as build
        from search.validation import check_file

        sheet = build(check_file(config, override or []), rows, seed)
        width, height = write_sheet(file, sheet)
        note(f"{len(sheet.rows)} images, {len(sheet.groups) - 1} augmentations in {file} ({width}x{height} px)")
