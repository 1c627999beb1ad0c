"""Commands that put an ensemble into use: predict, gate, promote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from foldtune.search.cli.options import (
    ReportFormat,
    Storage,
    TableOrJson,
    TrustMetric,
    argument,
    option,
    output_folder,
    switch,
    to_file,
)


def predict(
    ensemble: Annotated[str, argument("ENSEMBLE", "An ensemble's folder, or its run's name or folder.")],
    images: Annotated[Path, argument("IMAGES", "A folder of images, one image, or a CSV that names them.")],
    file: Annotated[Path, to_file("The CSV to write.")],
    sample: Annotated[
        Path | None, option("SAMPLE", "Write the form of this CSV instead: its columns, ids and order.", "--submission")
    ] = None,
    root: Annotated[
        Path | None, option("DIR", "Folder of the images that a CSV names; the CSV's own by default.", "--images")
    ] = None,
    id_column: Annotated[str, option("COLUMN", "The CSV's column of image names.", "--id")] = "image",
    tta: Annotated[
        str | None,
        option(
            "[VIEWS]",
            "Test-time views: none, hflip, flips (where no value is given), brightness or all; those of the "
            "ensemble by default.",
        ),
    ] = None,
    draw: Annotated[
        Path | None,
        option("DIR", "Write the images with what was found in them, where that is places.", callback=output_folder),
    ] = None,
    labels: Annotated[
        Path | None, option("F", "Table of labelled images: --draw shows hits, misses, false alarms.")
    ] = None,
    columns: Annotated[
        Path | None,
        option(
            "F",
            "CSV with the columns that the ensemble takes beside the images (data.columns); a CSV of IMAGES has "
            "them itself.",
        ),
    ] = None,
    batch_size: Annotated[int, option("N", "Images at a time.", min=1)] = 64,
    device: Annotated[
        str | None, option("DEVICE", "Device: cpu, cuda, cuda:1 …; a GPU where there is one by default.")
    ] = None,
    storage: Storage = "runs",
) -> None:
    """Predict new images with an ensemble's folder alone: no Ray, no training data.

    Writes one row an image: image, label, score, one score a class, votes (the configurations whose own prediction is
    the label), error. An image that cannot be read gets its reason in `error` and no label; where not one can, the exit
    code is 1. Of a folder all images are read, in linked folders too, but no hidden files. With --submission the
    file is one to submit: IMAGES is the folder of the sample's images, and an image that cannot be read gets the
    mean of the others' scores. Where text is found, there are columns boxes, polygons and box_scores besides, and
    --draw writes pictures of them. Several targets of one search stand side by side in one file.

    foldtune predict runs/skin/ensemble new_images --output predictions.csv
    foldtune predict skin images --submission sample.csv --output submission.csv
    """
    from foldtune.search.cli.handlers.use.predict import PredictRequest, predict_images

    predict_images(
        PredictRequest(
            ensemble, storage, images, file, sample, root, id_column, tta, draw, labels, batch_size, device, columns
        )
    )


def gate(
    run: Annotated[
        str, argument("RUN|ENSEMBLE", "A run: its name under the storage or its folder; or an ensemble's folder.")
    ],
    gates: Annotated[Path, argument("GATES", "A YAML list of conditions.")],
    format: ReportFormat = TableOrJson.table,
    storage: Storage = "runs",
    trust_metric: TrustMetric = False,
) -> None:
    """Check conditions on an ensemble's metrics on rows that it has not seen; exit with 1 where one fails.

    The figures are those of ensemble.json, cross-fitted: metrics of the whole, or precision, recall, f1 and support
    of a class. The file is a YAML list; an entry is a line, like macro_f1 > 0.6 or recall of mel >= 0.7, or a
    mapping, like {metric: precision, class: bcc, above: 0.5}, with one of above, at_least, below, at_most.

    foldtune gate skin gates.yaml
    foldtune gate runs/skin/ensemble gates.yaml --format json
    """
    from foldtune.search.cli.handlers.use.promote import check_gates

    check_gates(run, storage, gates, format)


def promote(
    ensemble: Annotated[str | None, argument("ENSEMBLE", "The ensemble: its run's name, or its folder.")] = None,
    to: Annotated[str | None, option("DIR", "The folder of the model in use.", "--to", show_default=False)] = None,
    gates: Annotated[Path | None, option("GATES", "Conditions that must hold, as of foldtune gate.")] = None,
    min_gain: Annotated[
        float, option("GAIN", "Least improvement over the model in use, in units of its metric.", min=0.0)
    ] = 0.0,
    force: Annotated[
        bool, switch("Also where it is not better or cannot be compared; gates still hold.", "--force")
    ] = False,
    rollback: Annotated[str | None, option("DIR", "Go back to the newest backup instead.", show_default=False)] = None,
    format: ReportFormat = TableOrJson.table,
    storage: Storage = "runs",
    trust_metric: TrustMetric = False,
) -> None:
    """Put an ensemble into use where it is better than the one in use; exit with 1 where it is not.

    Both are compared on the held-out rows that both have, cross-fitted; gates are conditions on the figures of the
    new one. The folder is exchanged as a whole, and the one before stays beside it as a dated backup. It holds all
    that foldtune predict needs.

    foldtune promote skin --to models/skin --gates gates.yaml
    foldtune predict models/skin new_images --output predictions.csv
    foldtune promote --rollback models/skin
    """
    if rollback is not None:
        if ensemble is not None or to is not None:
            raise typer.BadParameter(
                "it takes the folder alone: foldtune promote --rollback DIR", param_hint="--rollback"
            )
        from foldtune.search.cli.handlers.use.promote import roll_back

        roll_back(rollback, format)
        return
    if ensemble is None or to is None:
        raise typer.BadParameter(
            "give both: foldtune promote ENSEMBLE --to DIR; or foldtune promote --rollback DIR",
            param_hint="ENSEMBLE and --to",
        )
    from foldtune.search.cli.handlers.use.promote import PromotionRequest, promote_ensemble

    promote_ensemble(PromotionRequest(ensemble, storage, to, gates, min_gain, force), format)
