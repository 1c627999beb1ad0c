"""`foldtune predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from search.cli.options import decoders
from search.cli.terminal import note, progress_bar


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command()
    def predict(
        ensemble: Annotated[Path, typer.Argument(help="An ensemble's folder, or its run's.", show_default=False)],
        images: Annotated[
            Path,
            typer.Argument(help="A folder of images, one image, or a CSV that names them.", show_default=False),
        ],
        file: Annotated[
            Path, typer.Option("--output", "-o", metavar="F", help="The CSV to write.", show_default=False)
        ],
        root: Annotated[
            Path | None,
            typer.Option("--images", help="Folder of the images that a CSV names; the CSV's own by default."),
        ] = None,
        id_column: Annotated[str, typer.Option("--id", help="The CSV's column of image names.")] = "image",
        batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 64,
        device: Annotated[
            str | None, typer.Option(help="cpu, cuda, cuda:1 …; a GPU where there is one by default.")
        ] = None,
    ) -> None:
        """Predict new images with an ensemble's folder alone: no Ray, no training data.

        Writes one row an image: image, label, score, one score a class, votes (the configurations whose own answer is
        the label), error. An image that cannot be read gets its reason in `error` and no label.
        """
        from results.files import write_csv
        from search.prediction import StoredEnsemble, find_images

        stored = StoredEnsemble.open(ensemble)
        found = find_images(images, root, id_column)
        with progress_bar("predicting") as progress:
            frame = stored.predict(
                found,
                batch_size=batch_size,
                device=device,
                decoders=decoders(),
                progress=progress,
                id_column=id_column,
            )
        write_csv(file, frame)
        broken = int(frame["error"].notna().sum())
        note(f"{len(frame) - broken} images predicted in {file}" + (f", {broken} could not be read" if broken else ""))
