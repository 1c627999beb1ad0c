"""`foldtune predict`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from foldtune.search.cli.options import Storage, decoders
from foldtune.search.cli.terminal import note, progress_bar
from foldtune.search.cli.tta_option import ViewsCommand

if TYPE_CHECKING:
    import pandas as pd

    from foldtune.search.predict.stored_ensemble import StoredEnsemble


def add_to(app: typer.Typer) -> None:
    """Register the command."""

    @app.command(cls=ViewsCommand)
    def predict(
        ensemble: Annotated[
            str,
            typer.Argument(
                metavar="ENSEMBLE", help="An ensemble's folder, or its run's name or folder.", show_default=False
            ),
        ],
        images: Annotated[
            Path,
            typer.Argument(help="A folder of images, one image, or a CSV that names them.", show_default=False),
        ],
        file: Annotated[
            Path,
            typer.Option("--output", "-o", metavar="F", dir_okay=False, help="The CSV to write.", show_default=False),
        ],
        sample: Annotated[
            Path | None,
            typer.Option(
                "--submission", metavar="SAMPLE", help="Write the form of this CSV instead: its columns, ids and order."
            ),
        ] = None,
        root: Annotated[
            Path | None,
            typer.Option("--images", help="Folder of the images that a CSV names; the CSV's own by default."),
        ] = None,
        id_column: Annotated[str, typer.Option("--id", help="The CSV's column of image names.")] = "image",
        tta: Annotated[
            str | None,
            typer.Option(
                metavar="[VIEWS]",
                help="Test-time views: none, hflip, flips (if nothing is said), brightness or all; as the ensemble was "
                "made by default.",
            ),
        ] = None,
        draw: Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="Write the images with what was found in them, where that is places."),
        ] = None,
        labels: Annotated[
            Path | None,
            typer.Option(metavar="F", help="Table of labelled images: --draw shows hits, misses, false alarms."),
        ] = None,
        batch_size: Annotated[int, typer.Option(min=1, help="Images at a time.")] = 64,
        device: Annotated[
            str | None, typer.Option(help="cpu, cuda, cuda:1 …; a GPU where there is one by default.")
        ] = None,
        storage: Storage = "runs",
    ) -> None:
        """Predict new images with an ensemble's folder alone: no Ray, no training data.

        Writes one row an image: image, label, score, one score a class, votes (the configurations whose own answer is
        the label), error. An image that cannot be read gets its reason in `error` and no label. With --submission the
        file is one to submit: IMAGES is the folder of the sample's images, and an image that cannot be read gets the
        mean of the others' scores. Where text is found, there are columns boxes, polygons and box_scores besides, and
        --draw writes pictures of them. Several targets of one search stand side by side in one file.

        foldtune predict runs/skin/ensemble new_images --output predictions.csv
        foldtune predict skin test_images --submission sample_submission.csv --output submission.csv
        """
        from foldtune.search.predict.new_images import find_images, sample_images
        from foldtune.search.predict.stored_ensemble import StoredEnsemble
        from foldtune.search.runs.lookup import find_ensembles

        found = {
            target: StoredEnsemble.open(directory.root)
            for target, directory in find_ensembles(ensemble, storage).items()
        }
        if tta is not None:
            found = {target: each.with_tta(tta) for target, each in found.items()}
        work: dict[str, Any] = {"batch_size": batch_size, "device": device, "decoders": decoders()}
        if labels is not None and draw is None:
            raise typer.BadParameter("only --draw looks at labels; add it, or leave them out", param_hint="--labels")
        if sample is not None and draw is not None:
            raise typer.BadParameter("a submission is not drawn; leave out --submission", param_hint="--draw")
        if sample is None:
            new = find_images(images, root, id_column)
            if draw is not None:
                work["on_predicted"] = _drawing(found, new, draw, labels, id_column)
            _predict(found, new, file, {**work, "id_column": id_column})
        else:
            if root is not None:
                raise typer.BadParameter("with --submission, IMAGES is that folder", param_hint="--images")
            _submit(found, sample_images(sample, images), sample, file, work)


def _predict(ensembles: Mapping[str | None, StoredEnsemble], images: Any, file: Path, work: Mapping[str, Any]) -> None:
    from foldtune.results.storage.files import write_csv
    from foldtune.results.tables.formatting import counted
    from foldtune.search.predict.tables import combine_target_predictions

    frames: dict[str | None, pd.DataFrame] = {}
    for target, each in ensembles.items():
        with progress_bar(_label(target)) as progress:
            frames[target] = each.predict(images, progress=progress, **work)
    frame = combine_target_predictions(frames, work["id_column"])
    write_csv(file, frame)
    broken = int(frame["error"].notna().sum())
    unread = f", {broken} could not be read" if broken else ""
    note(f"{counted(len(frame) - broken, 'image')} predicted in {file}{unread}")
    if (drawing := work.get("on_predicted")) is not None:
        found = ", ".join(f"{number} {kind}" for kind, number in sorted(drawing.counts.items()))
        note(f"{counted(drawing.drawn, 'picture')} in {drawing.folder}: {found or 'nothing found'}")


def _drawing(
    ensembles: Mapping[str | None, StoredEnsemble], images: Any, folder: Path, labels: Path | None, id_column: str
) -> Any:
    from foldtune.search.predict.drawing import start_drawing

    if len(ensembles) > 1:
        raise typer.BadParameter("name the run of one target", param_hint="--draw")
    (ensemble,) = ensembles.values()
    return start_drawing(ensemble.task, images, folder, labels, id_column)


def _submit(
    ensembles: Mapping[str | None, StoredEnsemble], images: Any, sample: Path, file: Path, work: Mapping[str, Any]
) -> None:
    from foldtune.results.exports.submission import read_sample, write_submission
    from foldtune.results.tables.formatting import counted
    from foldtune.search.predict.tables import combine_target_submissions

    columns = list(read_sample(sample).columns)
    frames: dict[str | None, pd.DataFrame] = {}
    broken: dict[str, str] = {}
    for target, each in ensembles.items():
        with progress_bar(_label(target)) as progress:
            wanted = columns if target is None else [columns[0], target]
            frames[target], unread = each.submission(images, wanted, progress=progress, **work)
            broken |= unread
    write_submission(combine_target_submissions(frames), file, sample)
    note(f"{counted(len(images.ids), 'image')} predicted in {file}, in the form of {sample}")
    if broken:
        first = next(iter(broken))
        note(f"{counted(len(broken), 'image')} cannot be read: scored by the mean of the others")
        note(f"first: {first}: {broken[first]}")


def _label(target: str | None) -> str:
    return "predicting" if target is None else f"predicting {target}"
