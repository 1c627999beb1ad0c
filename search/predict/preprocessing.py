"""How the members of an ensemble see new images, which may differ where they come from several runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from foldtune.errors import DataError, WorkError
from foldtune.search.predict.progress import Counter
from foldtune.trainers.data.cache import Prepared, prepare_images
from foldtune.trainers.data.preprocess import Step, parse_steps


class Sight(NamedTuple):
    """How a member sees images: size (height, width) in pixels, how they meet it, and what is done to each before."""

    size: tuple[int, int]
    resize: str
    steps: tuple[Step, ...]

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """As ensemble.json says it."""
        height, width = values["image_size"]
        return cls((height, width), values["resize"], parse_steps(values.get("preprocess")))

    def decode(self, paths: Sequence[Path], scratch: Path, decoders: int, counted: Counter) -> Prepared:
        """Bring image files to this form, in the folder `scratch`, by so many processes.

        Raises:
            WorkError: no room.
        """
        try:
            return prepare_images(
                paths,
                size=self.size,
                resize=self.resize,
                cache_dir=scratch,
                workers=decoders,
                progress=counted.work(),
                on_broken="report",
                steps=self.steps,
            )
        except DataError as error:
            raise WorkError(f"{error} (TMPDIR names the folder for decoded images)") from None


def unread(prepared: Prepared) -> list[tuple[int, str]]:
    """Place and reason of each image that could not be read."""
    places = np.flatnonzero(~prepared.keep).tolist()
    return [(place, error.reason) for place, error in zip(places, prepared.broken, strict=True)]
