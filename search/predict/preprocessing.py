"""How images are prepared for a member of an ensemble; members of several runs may differ in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from foldtune.errors import DataError, WorkError
from foldtune.search.predict.progress import SubtaskProgress
from foldtune.trainers.data.cache import Prepared, prepare_images
from foldtune.trainers.data.preprocess import Step, parse_steps


class ImagePreprocessing(NamedTuple):
    """How image files become arrays.

    Attributes:
        size: (height, width) in pixels.
        resize: how an image is fitted into its size: `squash`, `crop` or `pad`.
        steps: changes of each resized image.
    """

    size: tuple[int, int]
    resize: str
    steps: tuple[Step, ...]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the preprocessing that the keys `image_size`, `resize` and `preprocess` of ensemble.json give."""
        height, width = values["image_size"]
        return cls((height, width), values["resize"], parse_steps(values.get("preprocess")))

    def decode(self, paths: Sequence[Path], scratch: Path, decoders: int, progress: SubtaskProgress) -> Prepared:
        """Decode image files into the folder `scratch` with `decoders` processes.

        Raises:
            WorkError: no room in `scratch`.
        """
        try:
            return prepare_images(
                paths,
                size=self.size,
                resize=self.resize,
                cache_dir=scratch,
                workers=decoders,
                progress=progress.subtask(),
                on_broken="report",
                steps=self.steps,
            )
        except DataError as error:
            raise WorkError(f"{error} (TMPDIR names the folder for decoded images)") from None


def unreadable_images(prepared: Prepared) -> list[tuple[int, str]]:
    """Return index and reason of each image that could not be read."""
    indices = np.flatnonzero(~prepared.keep).tolist()
    return [(index, error.reason) for index, error in zip(indices, prepared.broken, strict=True)]
