"""ICDAR's text files (Karatzas et al. 2015, "ICDAR 2015 competition on robust reading"): one an image, a box a line."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from foldtune.errors import DataError
from foldtune.trainers.data.readers.source import Reader, ReadOptions, Source
from foldtune.trainers.detection.forms.page import UNREADABLE, Page, labelled_source
from foldtune.trainers.images.reading import is_image_name
from foldtune.wording import shortened

FORM = "x1,y1,x2,y2,x3,y3,x4,y4,text (or x1,y1,x2,y2,text of upright boxes)"
_PREFIX = re.compile(r"^(gt|res)_")
_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?\s*")
_CURVED = "####"
"""Mark before the text of polygons of any number of corners (SCUT-CTW1500)."""
_MAX_FILE_BYTES = 1 << 24


class IcdarFolder(Reader):
    """A folder of `gt_NAME.txt`, or of `NAME.txt` and no other files than pictures."""

    own_target = "boxes"

    def matches(self, path: Path) -> bool:
        if not path.is_dir():
            return False
        names = [name for name in os.listdir(path) if not name.startswith(".")]
        texts = [name for name in names if name.lower().endswith(".txt")]
        if not texts:
            return False
        rest = set(names) - set(texts)
        marked = any(_PREFIX.match(name) for name in texts)
        return marked or all(is_image_name(name) for name in rest)

    def read(self, path: Path, options: ReadOptions) -> Source:
        texts = sorted(name for name in os.listdir(path) if name.lower().endswith(".txt") and name[0] != ".")
        marked = [name for name in texts if _PREFIX.match(name)]
        files = {name: _lines(path / name, options.encoding or "utf-8-sig") for name in marked or texts}
        counts = [_cells(line)[0] for lines in files.values() for _, line in lines if _CURVED not in line]
        corners = 4 if sum(count >= 8 for count in counts) * 2 >= len(counts) else 2
        pages: list[tuple[str, Any, Any, Any]] = []
        left_out = 0
        for name, lines in files.items():
            boxes = [_box(path / name, number, line, 2 * corners) for number, line in lines]
            kept = [box for box in boxes if box["text"] != UNREADABLE]
            left_out += len(boxes) - len(kept)
            pages.append((_PREFIX.sub("", name)[: -len(".txt")], None, None, kept))
        beside = any(is_image_name(name) and Path(name).stem == pages[0][0] for name in os.listdir(path))
        others = len(texts) - len(files)
        notes = [f"{path}: {others} text files without gt_ before their name are no labels"] if others else []
        return labelled_source("icdar", pages, left_out, images=path if beside else None, notes=notes)


def _lines(path: Path, encoding: str) -> list[tuple[int, str]]:
    """Return the numbers, from 1, and texts of the lines of a file that are not empty."""
    if path.stat().st_size > _MAX_FILE_BYTES:
        raise DataError([f"{path}: holds more than {_MAX_FILE_BYTES >> 20} MB, the most that a text of boxes may"])
    try:
        text = path.read_bytes().decode(encoding)
    except UnicodeDecodeError as error:
        reason = f"is not {error.encoding} (byte {error.start})"
        raise DataError([f"{path}: {reason}; name its encoding in data.encoding"]) from None
    return [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]


def _box(path: Path, number: int, line: str, count: int) -> dict[str, Any]:
    """Return the corners and the text of a line of `count` numbers, or of any number before `_CURVED`."""
    before, mark, behind = line.partition(_CURVED)
    leading, cells = _cells(before.rstrip(", ") if mark else line)
    if mark:
        count = len(cells)
    if count > leading or count < 4 or count % 2:
        raise DataError([f"{path}: line {number} is not {FORM}: {shortened(line)}"])
    text = behind if mark else ",".join(cells[count:]).strip().strip('"')
    return {"points": _corners([float(cell) for cell in cells[:count]]), "text": text}


def _cells(line: str) -> tuple[int, list[str]]:
    """Return the number of leading cells that are numbers, and all cells, between commas or blanks."""
    cells = line.split(",") if "," in line else line.split()
    leading = 0
    while leading < len(cells) and _NUMBER.fullmatch(cells[leading]):
        leading += 1
    return leading, cells


def _corners(values: Sequence[float]) -> list[list[float]]:
    if len(values) == 4:
        left, top, right, bottom = values
        return [[left, top], [right, top], [right, bottom], [left, bottom]]
    return [list(pair) for pair in zip(values[::2], values[1::2], strict=True)]


def icdar_zip(pages: Sequence[Page]) -> bytes:
    """Return a .zip of a `res_NAME.txt` each, whole pixels as ICDAR's servers take them; the same bytes each time."""
    files = {}
    for page in pages:
        path = PurePosixPath(page.name)
        stem = path.stem if is_image_name(page.name) else path.name
        lines = (",".join(str(round(value)) for pair in corners for value in pair) for corners in page.corners())
        files[str(path.with_name(f"res_{stem}.txt"))] = "".join(f"{line}\r\n" for line in lines)
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(ZipInfo(name), text)
    return buffer.getvalue()
