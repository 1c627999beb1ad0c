"""Arrays of NumPy as rows: .npz with train_images and train_labels (MedMNIST's form), .npy with labels beside it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from foldtune.errors import DataError
from foldtune.trainers.data.readers.arrays import ArrayFile, as_png, check_images
from foldtune.trainers.data.readers.source import SPLIT, Part, Reader, ReadOptions, Source, part_of, parts_for
from foldtune.trainers.data.readers.unpacked import unpacked
from foldtune.wording import first_few

Kind = Literal["images", "labels"]
_KINDS: Mapping[str, Kind] = {
    **dict.fromkeys(("images", "image", "imgs", "img", "x", "data", "pixels"), "images"),
    **dict.fromkeys(("labels", "label", "y", "target", "targets"), "labels"),
}
_FOLDERS = {None: "", "train": "train", "valid": "val", "test": "test"}
"""Folder of the pictures of a part."""
LABEL_SEPARATOR = "|"
"""Between the labels of an image whose row of labels has several ones."""


@dataclass(frozen=True)
class _Arrays:
    """Images and labels of one part; no labels where it is to be submitted."""

    folder: str
    images: ArrayFile
    labels: ArrayFile | None


class NpzArrays(Reader):
    """A .npz whose arrays are called train_images, train_labels, val_images …, or x_train, y_train, x_test …."""

    own_target = "label"
    suffixes = (".npz",)

    def read(self, path: Path, options: ReadOptions) -> Source:
        keys = _keys(path)
        named = {key: parsed for key in keys if (parsed := _parsed(key)) is not None}
        images = {_part(rest): key for key, (kind, rest) in named.items() if kind == "images"}
        labels = {_part(rest): key for key, (kind, rest) in named.items() if kind == "labels"}
        if not images:
            raise DataError([f"{path}: has no array of images; it has: {first_few(keys)}; such as train_images"])
        parts = (None,) if set(images) == {None} else parts_for(options.part, [p for p in images if p], path)
        arrays = {
            part or options.part: _Arrays(
                _FOLDERS[part], ArrayFile.open(path, images[part]), _opened(path, labels.get(part))
            )
            for part in parts
        }
        return _source(path, arrays, options)


class NpyArray(Reader):
    """A .npy of images; its labels lie beside it: train_images.npy and train_labels.npy, X.npy and y.npy."""

    own_target = "label"
    suffixes = (".npy",)

    def read(self, path: Path, options: ReadOptions) -> Source:
        labels = _labels_beside(path)
        arrays = _Arrays("", ArrayFile.open(path), None if labels is None else ArrayFile.open(labels))
        return _source(path, {options.part: arrays}, options)


def _keys(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError([f"{path}: cannot be read as .npz: {error}"]) from None


def _opened(path: Path, key: str | None) -> ArrayFile | None:
    return None if key is None else ArrayFile.open(path, key)


def _parsed(name: str) -> tuple[Kind, tuple[str, ...]] | None:
    """Return what the array of a name holds, and the rest of the name; None for any other name.

    >>> _parsed("train_images"), _parsed("y_test"), _parsed("mean")
    (('images', ('train',)), ('labels', ('test',)), None)
    """
    words = re.split(r"[\W_]+", name.lower())
    kinds = [_KINDS[word] for word in words if word in _KINDS]
    return (kinds[0], tuple(word for word in words if word not in _KINDS)) if len(kinds) == 1 else None


def _part(words: tuple[str, ...]) -> Part | None:
    return next((part for word in words if (part := part_of(word))), None)


def _labels_beside(path: Path) -> Path | None:
    own = _parsed(path.stem)
    if own is None or own[0] != "images":
        return None
    wanted = ("labels", own[1])
    return next((each for each in sorted(path.parent.glob("*.npy")) if _parsed(each.stem) == wanted), None)


def _source(path: Path, arrays: Mapping[Part, _Arrays], options: ReadOptions) -> Source:
    frames = []
    for part, each in arrays.items():
        _check(each, options)
        frame = _frame(each, options, prefix=options.part == "train")
        frames.append(frame.assign(**{SPLIT: part}) if len(arrays) > 1 else frame)

    pictures = {each.folder: as_png(each.images) for each in arrays.values()}
    notes = [line for _, lines in pictures.values() for line in lines]

    def files() -> Iterator[tuple[str, bytes]]:
        for name, (contents, _) in pictures.items():
            for row, content in enumerate(contents):
                yield f"{name}/{row}.png" if name else f"{row}.png", content

    folder = unpacked(path, options, files)
    if options.part != "train":
        folder = folder / next(iter(arrays.values())).folder
    frame = pd.concat(frames, ignore_index=True)
    split = SPLIT if len(arrays) > 1 else None
    form = "npz" if path.suffix.lower() == ".npz" else "npy"
    return Source(frame, form, folder, options.id_column, options.target_column, split, tuple(notes))


def _check(arrays: _Arrays, options: ReadOptions) -> None:
    images, labels = arrays.images, arrays.labels
    check_images(images)
    if labels is None:
        if options.part == "test":
            return
        beside = "beside it (such as labels.npy)" if images.key is None else "(such as train_labels)"
        raise DataError([f"{images.name}: has no array of labels {beside}"])
    if labels.shape[:1] != images.shape[:1] or len(labels.shape) > 2:
        raise DataError(
            [f"{labels.name}: has the shape {labels.shape} beside {images.shape[0]} images; labels are (N,)"]
        )


def _frame(arrays: _Arrays, options: ReadOptions, prefix: bool) -> pd.DataFrame:
    folder = f"{arrays.folder}/" if prefix and arrays.folder else ""
    names = [f"{folder}{row}.png" for row in range(arrays.images.shape[0])]
    columns: dict[str, Any] = {options.id_column: names}
    if arrays.labels is not None:
        columns |= _label_columns(arrays.labels.whole(), options.target_column)
    elif options.part == "test":
        columns[options.target_column] = [None] * len(names)
    return pd.DataFrame(columns, dtype="str")


def _label_columns(labels: npt.NDArray[Any], target: str) -> dict[str, list[str | None]]:
    """Return labels as text: one column, and for rows of several values a column each, beside a list of the ones."""
    if labels.ndim == 1 or labels.shape[1] == 1:
        return {target: [_text(value) for value in labels.reshape(-1).tolist()]}
    columns = {
        f"{target}_{place}": [_text(value) for value in labels[:, place].tolist()] for place in range(labels.shape[1])
    }
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        return dict(columns)
    ones = [LABEL_SEPARATOR.join(map(str, np.flatnonzero(row))) or None for row in labels]
    return {target: ones, **columns}


def _text(value: Any) -> str | None:
    return (value.decode() if isinstance(value, bytes) else str(value)) or None
