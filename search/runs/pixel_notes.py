"""What became of the pixels of images, as lines for the user."""

from __future__ import annotations

from foldtune.results.tables.formatting import counted
from foldtune.search.config.data_section import DataConfig
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
    if prepared.one_colour:
        total, names = len(prepared.one_colour), first_few([path.name for path in prepared.one_colour])
        notes.append(f"{counted(total, 'picture')} of one colour alone: {names}")
    return tuple(notes)
