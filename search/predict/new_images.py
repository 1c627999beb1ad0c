"""Images that were never seen in training: where they are and how they are named."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from foldtune.errors import InputError, did_you_mean, unknown
from foldtune.results.exports.submission import read_sample
from foldtune.trainers.data.label_columns import read_csv

SUFFIXES = {".avif", ".bmp", ".gif", ".jp2", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


@dataclass(frozen=True)
class NewImages:
    """Images to predict: ids (N,) as they are named in the output, and their files."""

    ids: tuple[str, ...]
    paths: tuple[Path, ...]


def find_images(source: Path, root: Path | None, id_column: str) -> NewImages:
    """The images of a folder (with its subfolders), one file, or the rows of a CSV.

    Args:
        root: folder of the images that a CSV names; the CSV's own by default.
        id_column: the CSV's column of image names.

    Raises:
        InputError: nothing there, or rows without a name.
        DataError: the CSV cannot be read.
    """
    if source.is_dir():
        paths = sorted(path for path in source.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
        if not paths:
            raise InputError(f"{source}: no images in it (looked for {', '.join(sorted(SUFFIXES))})")
        return NewImages(tuple(path.relative_to(source).as_posix() for path in paths), tuple(paths))
    if not source.is_file():
        raise InputError(f"{source}: no such file or folder")
    if source.suffix.lower() in SUFFIXES:
        return NewImages((source.name,), (source,))
    frame = read_csv(source)
    if id_column not in frame:
        raise InputError(f"{source}: {unknown('column', id_column, map(str, frame.columns))}; give --id")
    names = frame[id_column]
    empty = np.flatnonzero(names.isna())
    if len(empty):
        raise InputError(
            f"{source}: column {id_column!r} is empty in {len(empty)} rows (first: data row {empty[0] + 1})"
        )
    if names.empty:
        raise InputError(f"{source}: holds no rows")
    folder = root or source.parent
    return NewImages(tuple(names), tuple(folder / name for name in names))


def sample_images(sample: Path, folder: Path) -> NewImages:
    """The images that a sample submission lists in its first column, as files of a folder.

    Raises:
        InputError: no such folder, or images that are not in it.
        SubmissionError: the sample cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: with --submission, IMAGES is the folder that holds the images of {sample}")
    names = read_sample(sample).iloc[:, 0].tolist()
    repeated = sorted({name for name, times in Counter(names).items() if times > 1})
    if repeated:
        raise InputError(f"{sample}: {len(repeated)} images are in it more than once (first: {repeated[0]})")
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        hint = did_you_mean(missing[0], [path.name for path in folder.iterdir()])
        raise InputError(
            f"{folder}: {len(missing)} of {len(names)} images of {sample} are not there (first: {missing[0]}{hint})"
        )
    return NewImages(tuple(names), tuple(folder / name for name in names))
