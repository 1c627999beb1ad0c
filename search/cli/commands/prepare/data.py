"""`foldtune data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.terminal import note


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(no_args_is_help=True, help="Write real image data to try foldtune on.")
    app.add_typer(group, name="data")

    @group.callback()
    def data() -> None:
        """Write real image data to try foldtune on."""

    @group.command()
    def digits(
        folder: Annotated[Path, typer.Argument(help="The folder to write.", metavar="DIR", show_default=False)],
        seed: Annotated[int, typer.Option(help="Of the draw of rows.")] = 0,
    ) -> None:
        """Write scikit-learn's handwritten digits as PNGs, with classes imbalanced about 10:1.

        DIR gets images/, train.csv, test.csv and sample_submission.csv (columns image,label) and the labels of the
        test rows in test_labels.csv.
        """
        from foldtune.trainers.data.digits import write_digits

        write_digits(folder, seed=seed)
        note(f"digits written to {folder}")
