"""Commands before a search: validate, preview, data digits."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.options import ConfigFile, Overrides, output_file, output_folder


def validate(config: ConfigFile, override: Overrides = None) -> None:
    """Check a configuration, its data and its search space before anything is trained.

    Reports every problem at once, each with its key path, what is valid and the nearest name. Exits with 2
    where there is one.

    foldtune validate skin.yaml
    foldtune validate skin.yaml --set data.image_size=128
    """
    from foldtune.search.cli.handlers.prepare.validate import validate_config

    validate_config(config, override or [])


def preview(
    config: ConfigFile,
    file: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="F", callback=output_file, help="The PNG to write.", show_default=False),
    ],
    rows: Annotated[
        int, typer.Option(min=1, max=100, metavar="N", help="Number of images, taken from each class in turn.")
    ] = 6,
    seed: Annotated[
        int, typer.Option(min=0, metavar="N", help="Seed of the choice of images and of the augmentations.")
    ] = 0,
    override: Overrides = None,
) -> None:
    """Draw training images under every augmentation of the search space, as one contact sheet.

    One group of columns for each augmentation (and crop) that a trial may choose, at its defaults and at both ends
    of each range; labels on the left. Of several targets each has a part of the sheet. The configuration is checked
    first, as by validate.

    foldtune preview skin.yaml --output preview.png --rows 8
    """
    from foldtune.search.cli.handlers.prepare.preview import preview_augmentations

    preview_augmentations(config, override or [], file, rows, seed)


def digits(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", callback=output_folder, help="The folder to write.", show_default=False)
    ],
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the choice of rows.")] = 0,
) -> None:
    """Write scikit-learn's handwritten digits as PNGs, with classes imbalanced about 10:1.

    DIR gets images/, train.csv, test.csv and sample_submission.csv (columns image,label) and the labels of the
    test rows in test_labels.csv.
    """
    from foldtune.search.cli.handlers.prepare.data import write_digits_data

    write_digits_data(folder, seed)
