"""What became of the pixels of images, as lines for the user."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from foldtune.results.tables.formatting import counted
from foldtune.search.config.sections.data_section import DataConfig
from foldtune.trainers.images.cache import Prepared
from foldtune.wording import first_few


def pixel_notes(prepared: Prepared, data: DataConfig) -> tuple[str, ...]:
    """Return lines on images of more than 8 bits by the range that became 0..255, and on pictures of one colour."""
    notes: list[str] = []
    if prepared.deep:
        ranges = ", ".join(f"{number} by {name}" for name, number in sorted(prepared.deep.items()))
        key = "pixel_range" if data.window == "auto" else "window"
        total = sum(prepared.deep.values())
        notes.append(f"{total} images have more than 8 bits a channel, brought to 8 (data.{key}): {ranges}")
    elif data.window != "auto":
        notes.append("data.window changes nothing: no image has more than 8 bits a channel")
    return (*notes, *one_colour_notes(prepared.one_colour))


def one_colour_notes(paths: Sequence[Path]) -> tuple[str, ...]:
    """Return a line on pictures of one colour, none where there are none."""
    if not paths:
        return ()
    return (f"{counted(len(paths), 'picture')} of one colour alone: {first_few([path.name for path in paths])}",)
