"""Pictures of what an ensemble found in images, and where they are labelled, of what it missed and made up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy.typing as npt

from foldtune.errors import DataError, InputError
from foldtune.ids import match_ids
from foldtune.paths import join_to_write, output_names
from foldtune.results.exports.annotated_image import write_annotated
from foldtune.search.predict.new_images import NewImages
from foldtune.trainers.data.readers import ReadOptions
from foldtune.trainers.detection.pages import with_sides
from foldtune.trainers.tasks import Task
from foldtune.wording import unknown

Array = npt.NDArray[Any]


@dataclass
class Drawing:
    """Draws each image that is predicted into a folder, under its own name, as a PNG; never outside of the folder.

    Args:
        images: those that are predicted.
        names: name of each picture in the folder, by id.
        targets: (P, V, 2) of those that are labelled, by id.

    Attributes:
        counts: annotations of each kind, over all images drawn.
    """

    task: Task
    images: NewImages
    folder: Path
    names: Mapping[str, PurePosixPath]
    targets: Mapping[str, Array]
    counts: dict[str, int] = field(default_factory=dict)
    drawn: int = 0

    def __call__(self, paths: Sequence[Path], predictions: Array) -> None:
        """Draw these images; raises StorageError, InputError where a link in the folder leads out of it."""
        ids = dict(zip(self.images.paths, self.images.ids, strict=True))
        for path, prediction in zip(paths, predictions, strict=True):
            name = ids[path]
            annotations = self.task.annotations(prediction, self.targets.get(name))
            write_annotated(path, annotations, join_to_write(self.folder, self.names[name]))
            self.drawn += 1
            for annotation in annotations:
                self.counts[annotation.kind] = self.counts.get(annotation.kind, 0) + 1


def start_drawing(task: Task, images: NewImages, folder: Path, labels: Path | None, id_column: str) -> Drawing:
    """What draws these images into `folder`, judged where the table `labels` holds them.

    Raises:
        InputError: a task whose predictions are no places; labels that cannot be read, or of none of the images; a
            folder in which pictures would replace images that are predicted.
    """
    if not task.has_spatial_targets:
        raise InputError(f"--draw: predictions of task {task.name} are no places in an image")
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--draw {folder}: is a file; name a folder")
    targets = {} if labels is None else _read(task, labels, id_column, images)
    if labels is not None and not targets.keys() & set(images.ids):
        raise InputError(f"--labels {labels}: holds none of the {len(images.ids)} images (first: {images.ids[0]})")
    names = output_names(images.ids, ".png")
    _spare_originals(images, folder, names.values())
    return Drawing(task, images, folder, names, targets)


def _spare_originals(images: NewImages, folder: Path, names: Iterable[PurePosixPath]) -> None:
    """Refuse a folder in which a picture would replace, or be linked to, an image that is predicted."""
    existing = [path for path in (folder / name for name in names) if path.exists()]
    if not existing:
        return
    originals = {path.resolve() for path in images.paths}
    if replaced := [path for path in existing if path.resolve() in originals]:
        raise InputError(
            f"--draw {folder}: {len(replaced)} of the images themselves would be painted over "
            f"(first: {replaced[0]}); name another folder"
        )


def _read(task: Task, labels: Path, id_column: str, images: NewImages) -> dict[str, Array]:
    target = str(getattr(task, "target", "label"))
    try:
        source = task.read_source(labels, ReadOptions(id_column, target, part="test"))
        if id_column not in source.frame:
            columns = map(str, source.frame.columns)
            raise InputError(f"--labels {labels}: {unknown('column', id_column, columns)}; give --id")
        frame = with_sides(source.frame, source.images or images.paths[0].parent, id_column, target)
        targets = task.encode(frame, labels)
    except DataError as error:
        raise InputError([f"--labels {text}" for text in error.problems]) from None
    rows = {name: row for row, name in enumerate(frame[id_column].astype(str))}
    return {name: targets[rows[labelled]] for name, labelled in match_ids(images.ids, rows).items()}
