"""Pages with boxes: their sides, in whose shares the boxes are kept, stated by the labels or by the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from foldtune.canonical import canonical_text
from foldtune.errors import BrokenImage, DataError
from foldtune.trainers.images.locate import locate
from foldtune.trainers.images.reading import picture_size
from foldtune.wording import shortened

_READERS = 8
_SHOWN = 5
_ASPECT = 0.01
"""Relative difference of the aspect ratios up to which a page was only scaled; whole pixels allow no less."""

FORMS_OF_BOXES = ("coco", "ufo", "icdar")
"""Forms of labels that may not state the sides of their pages."""

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


def with_sides(frame: pd.DataFrame, images: Path, id_column: str, column: str) -> pd.DataFrame:
    """Return rows of boxes with the width and height of their pictures where the labels do not state them.

    A picture that is missing or broken, which other checks name, is as large as its boxes reach.
    """
    if not {"width", "height", id_column} <= set(frame.columns):
        return frame
    rows = [row for row, pair in enumerate(zip(frame["width"], frame["height"], strict=True)) if None in pair]
    if not rows:
        return frame
    names = [canonical_text(str(frame[id_column].iloc[row])) for row in rows]
    with ThreadPoolExecutor(_READERS) as pool:
        pictures = list(pool.map(_picture_sides, locate(images, names).paths))
    sides = {name: frame[name].tolist() for name in ("height", "width")}
    boxes: list[Any] = frame[column].iloc[rows].tolist() if column in frame else [[]] * len(rows)
    for row, picture, each in zip(rows, pictures, boxes, strict=True):
        sides["height"][row], sides["width"][row] = picture or _enclosing(each)
    return frame.assign(**{name: pd.Series(values, dtype=object, index=frame.index) for name, values in sides.items()})


def _enclosing(boxes: Any) -> Sides:
    """Return a height and width in which boxes lie."""
    try:
        points = [(float(x), float(y)) for box in boxes or [] for x, y in box["points"]]
    except (TypeError, ValueError, KeyError):  # of another form, which their reading names
        points = []
    return max([1.0, *(y for _, y in points)]), max([1.0, *(x for x, _ in points)])


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
