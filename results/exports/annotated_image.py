"""Images with polygons drawn into them, one colour per kind of polygon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont, ImageOps

from foldtune.errors import StorageError
from foldtune.results.storage.files import write_bytes_atomic

COLOURS: Mapping[str, str] = {"found": "#1565c0", "hit": "#2e7d32", "miss": "#ef6c00", "false alarm": "#c62828"}
_LEGEND, _PAPER, _INK = 22, "#ffffff", "#1a1a1a"


class Annotation(Protocol):
    """A polygon (V, 2) in fractions of width and height, a caption beside it, and its kind, a key of COLOURS."""

    @property
    def polygon(self) -> npt.NDArray[Any]: ...

    @property
    def caption(self) -> str: ...

    @property
    def kind(self) -> str: ...


def draw_annotations(picture: Image.Image, annotations: Sequence[Annotation]) -> Image.Image:
    """Return the image in colour with its annotations, and below it a legend with the count of each kind."""
    width, height = picture.size
    sheet = Image.new("RGB", (width, height + _LEGEND), _PAPER)
    sheet.paste(picture.convert("RGB"))
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(max(9, height // 90))
    for each in annotations:
        corners = [(float(x * width), float(y * height)) for x, y in each.polygon]
        draw.polygon(corners, outline=COLOURS[each.kind], width=max(1, height // 600))
        if each.caption:
            right, top = max(x for x, _ in corners), min(y for _, y in corners)
            left = min(right + 2, width - draw.textlength(each.caption, font))
            draw.text((left, top), each.caption, fill=COLOURS[each.kind], font=font)
    _legend(draw, annotations, height)
    return sheet


def _legend(draw: ImageDraw.ImageDraw, annotations: Sequence[Annotation], top: int) -> None:
    font, left = ImageFont.load_default(12), 6.0
    kinds = [each.kind for each in annotations]
    for kind in COLOURS:
        if kind in kinds:
            text = f"{kinds.count(kind)} {kind}"
            draw.rectangle((left, top + 6, left + 10, top + 16), fill=COLOURS[kind])
            draw.text((left + 14, top + 4), text, fill=_INK, font=font)
            left += 14 + draw.textlength(text, font) + 14


def write_annotated(source: Path, annotations: Sequence[Annotation], target: Path) -> None:
    """Write the image at `source` with its annotations as a PNG, atomically. Raises StorageError."""
    try:
        with Image.open(source) as file:
            picture = ImageOps.exif_transpose(file)
    except OSError as error:
        raise StorageError(f"cannot read {source}: {error}") from error
    if np.asarray(picture).dtype != np.uint8:
        picture = picture.convert("L")
    whole = BytesIO()
    draw_annotations(picture, annotations).save(whole, format="PNG")
    write_bytes_atomic(target, whole.getvalue())
