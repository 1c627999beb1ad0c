"""Pages with boxes: whether their stated sides are those of the pictures, in whose shares the boxes are kept."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from foldtune.errors import BrokenImage, DataError
from foldtune.trainers.images.reading import picture_size
from foldtune.wording import shortened

_READERS = 8
_SHOWN = 5
_ASPECT = 0.01
"""Relative difference of the aspect ratios up to which a page was only scaled; whole pixels allow no less."""

Sides = tuple[float, float]
"""Height and width in pixels."""


def check_pages(ids: Sequence[str], paths: Sequence[Path], stated: Sequence[Sides]) -> tuple[str, ...]:
    """Return a line on the pages whose picture was scaled since it was labelled: their boxes are scaled with it.

    Pictures that cannot be read are left to their decoding.

    Args:
        ids: N ids.
        paths: N picture files.
        stated: N sides by the labels.

    Raises:
        DataError: pictures of another form than stated, such as turned ones: no scaling brings the boxes into place.
    """
    with ThreadPoolExecutor(_READERS) as pool:
        pictures = list(pool.map(_picture_sides, paths))
    scaled: list[str] = []
    problems: list[str] = []
    for name, given, actual in zip(ids, stated, pictures, strict=True):
        if actual is None or tuple(map(float, given)) == actual:
            continue
        text = f"{shortened(repr(name))} is {_text(actual)} px (width x height) and not {_text(given)}"
        (scaled if _same_form(given, actual) else problems).append(text)
    if problems:
        turned = "; where it is turned by EXIF, state the sides, and the points, of the turned picture"
        more = [f"and {len(problems) - _SHOWN} more pictures like these"] if len(problems) > _SHOWN else []
        raise DataError(
            [f"picture {text}, so boxes would not lie where the text is{turned}" for text in problems[:_SHOWN]] + more
        )
    if not scaled:
        return ()
    return (f"{len(scaled)} pages have pictures of other sides and the same form; boxes are scaled ({scaled[0]})",)


def _picture_sides(path: Path) -> Sides | None:
    try:
        height, width = picture_size(path)
    except BrokenImage:
        return None
    return float(height), float(width)


def _same_form(given: Sides, actual: Sides) -> bool:
    """Whether a scale brings the sides to each other, to within a pixel or 1 %."""
    (height, width), (own_height, own_width) = given, actual
    if max(own_height / height, height / own_height) < 1 + _ASPECT and max(own_width / width, width / own_width) < (
        1 + _ASPECT
    ):
        return True
    scale = own_height / height
    return abs(width * scale - own_width) <= max(_ASPECT * own_width, 1.0, scale)


def _text(sides: Sides) -> str:
    height, width = sides
    return f"{width:g}x{height:g}"
