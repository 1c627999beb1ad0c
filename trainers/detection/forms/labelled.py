"""Labelled images, which all forms give as rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.trainers.data.readers.source import Source

UNREADABLE = "###"
"""Text of ICDAR and its relatives for a region that nobody could read, and that is not to be judged."""


@dataclass
class LabelledPages:
    """Labelled images that are gathered.

    Attributes:
        names: images.
        sides: width and height in pixels; None where the form does not state them.
        boxes: list of mappings with `points`, an image each.
        left_out: number of regions that are marked as not to be judged.
    """

    names: list[str] = field(default_factory=list)
    sides: list[tuple[Any, Any]] = field(default_factory=list)
    boxes: list[Any] = field(default_factory=list)
    left_out: int = 0

    def add(self, name: str, width: Any, height: Any, boxes: Any) -> None:
        """Add an image."""
        self.names.append(name)
        self.sides.append((width, height))
        self.boxes.append(boxes)

    def source(
        self, form: str, images: Path | None = None, notes: Sequence[str] = (), facts: Mapping[str, Any] | None = None
    ) -> Source:
        """Return the rows: columns image, width, height and boxes, the latter of any objects."""
        columns = {
            "width": pd.Series([width for width, _ in self.sides], dtype=object),
            "height": pd.Series([height for _, height in self.sides], dtype=object),
            "boxes": pd.Series(self.boxes, dtype=object),
        }
        frame = pd.DataFrame({"image": pd.Series(self.names, dtype=str), **columns})
        regions = "1 region" if self.left_out == 1 else f"{self.left_out} regions"
        lines = [f"{regions} marked as unreadable left out"] if self.left_out else []
        return Source(frame, form, images, "image", "boxes", notes=(*notes, *lines), facts=facts or {})
