"""Contact sheets: images in rows and named columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from foldtune.results.storage.files import write_whole

Picture = npt.NDArray[np.uint8]
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

_CELL = 128  # pixels of a cell, about: a whole multiple of small pictures
_LARGEST = 160  # pictures up to this side are not made smaller
_GAP, _GROUP_GAP, _MARGIN = 6, 22, 24
_LABELS = 170  # width of the column of labels
_LINE = 17  # height of a line of text
_INK, _DIM, _RULE, _PAPER = "#1a1a1a", "#6b6b6b", "#c8c8c8", "#ffffff"


@dataclass(frozen=True)
class ColumnGroup:
    """Columns under one title, with a note below it and a name for each column."""

    title: str
    note: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One image: its label, its file name, and a picture (H, W, 3) for each column of the sheet."""

    label: str
    name: str
    pictures: tuple[Picture, ...]


@dataclass(frozen=True)
class Sheet:
    """Content of a sheet: groups of columns from left to right, rows from top to bottom."""

    title: str
    groups: tuple[ColumnGroup, ...]
    rows: tuple[Row, ...]


def draw(sheet: Sheet) -> Image.Image:
    """Return the drawn sheet; pictures are scaled to one cell size, small ones by an integer factor."""
    cell = _cell(sheet.rows)
    lefts, right = _columns(sheet.groups, cell)
    wide = max(right + _MARGIN, 2 * _MARGIN + int(_font(17, bold=True).getlength(sheet.title)))
    notes = [_wrap(group.note, _font(12), _width(group, cell)) for group in sheet.groups]
    names = [[_wrap(name, _font(12), cell) for name in group.columns] for group in sheet.groups]
    titles = [_wrap(group.title, _font(15, bold=True), _width(group, cell)) for group in sheet.groups]
    heads = [max(map(len, part), default=0) for part in (titles, notes, [name for group in names for name in group])]
    top = _MARGIN + 2 * _LINE + 4 + sum(heads) * _LINE + 10
    image = Image.new("RGB", (wide, top + len(sheet.rows) * (cell + _GAP) - _GAP + _MARGIN), _PAPER)
    pen = ImageDraw.Draw(image)
    pen.text((_MARGIN, _MARGIN - 4), sheet.title, _INK, _font(17, bold=True))
    for group, left, title, note, columns in zip(sheet.groups, lefts, titles, notes, names, strict=True):
        _draw_head(pen, group, left, (title, note, columns), (top, heads), cell)
    flat = [x for group, left in zip(sheet.groups, lefts, strict=True) for x in _cells(group, left, cell)]
    for place, row in enumerate(sheet.rows):
        y = top + place * (cell + _GAP)
        _draw_label(pen, row, y)
        for x, picture in zip(flat, row.pictures, strict=True):
            _paste(image, picture, (x, y), cell)
    return image


def write_sheets(path: Path, sheets: Sequence[Sheet]) -> tuple[int, int]:
    """Write sheets below one another as a PNG, atomically; return width and height. Raises StorageError."""
    drawn = [draw(sheet) for sheet in sheets]
    image = Image.new("RGB", (max(each.width for each in drawn), sum(each.height for each in drawn)), _PAPER)
    y = 0
    for each in drawn:
        image.paste(each, (0, y))
        y += each.height
    write_whole(path, lambda file: image.save(file, format="PNG"))
    return image.size


def _cell(rows: Sequence[Row]) -> int:
    """Return the side of a cell in pixels: the multiple of the first picture's side nearest to _CELL, or _CELL."""
    longer = max(rows[0].pictures[0].shape[:2]) if rows and rows[0].pictures else _CELL
    return longer * max(1, round(_CELL / longer)) if longer <= _LARGEST else _CELL


def _width(group: ColumnGroup, cell: int) -> int:
    return len(group.columns) * (cell + _GAP) - _GAP


def _cells(group: ColumnGroup, left: int, cell: int) -> list[int]:
    return [left + place * (cell + _GAP) for place in range(len(group.columns))]


def _columns(groups: Sequence[ColumnGroup], cell: int) -> tuple[list[int], int]:
    """Return the left edge of each group, and the right edge of the last."""
    lefts, x = [], _MARGIN + _LABELS
    for group in groups:
        lefts.append(x)
        x += _width(group, cell) + _GROUP_GAP
    return lefts, x - _GROUP_GAP


def _draw_head(
    pen: ImageDraw.ImageDraw,
    group: ColumnGroup,
    left: int,
    texts: tuple[list[str], list[str], list[list[str]]],
    place: tuple[int, list[int]],
    cell: int,
) -> None:
    title, note, columns = texts
    top, (title_lines, note_lines, name_lines) = place
    y = top - 10 - (title_lines + note_lines + name_lines) * _LINE
    _lines(pen, (left, y), title, _INK, _font(15, bold=True))
    _lines(pen, (left, y + title_lines * _LINE), note, _DIM, _font(12))
    pen.line([(left, top - 7), (left + _width(group, cell), top - 7)], fill=_RULE, width=1)
    for x, lines in zip(_cells(group, left, cell), columns, strict=True):
        _lines(pen, (x, y + (title_lines + note_lines + name_lines - len(lines)) * _LINE), lines, _DIM, _font(12))


def _draw_label(pen: ImageDraw.ImageDraw, row: Row, y: int) -> None:
    label = _wrap(row.label, _font(15, bold=True), _LABELS - 14)[:5]
    _lines(pen, (_MARGIN, y + 2), label, _INK, _font(15, bold=True))
    _lines(pen, (_MARGIN, y + 4 + len(label) * _LINE), _wrap(row.name, _font(11), _LABELS - 14)[:2], _DIM, _font(11))


def _lines(pen: ImageDraw.ImageDraw, place: tuple[int, int], lines: Sequence[str], fill: str, font: Font) -> None:
    for number, line in enumerate(lines):
        pen.text((place[0], place[1] + number * _LINE), line, fill, font)


def _paste(image: Image.Image, picture: Picture, corner: tuple[int, int], cell: int) -> None:
    height, width = picture.shape[:2]
    longer = max(height, width)
    times = cell // longer
    if times >= 1:
        size, how = (width * times, height * times), Image.Resampling.NEAREST
    else:
        size, how = (max(1, width * cell // longer), max(1, height * cell // longer)), Image.Resampling.LANCZOS
    drawn = Image.fromarray(picture).resize(size, how)
    image.paste(drawn, (corner[0] + (cell - drawn.width) // 2, corner[1] + (cell - drawn.height) // 2))


def _wrap(text: str, font: Font, width: int) -> list[str]:
    """Return lines of at most `width` pixels, broken after spaces and punctuation, else within words."""
    lines: list[str] = []
    for separator in " ,|_-.":
        text = text.replace(separator, f"{separator}\0")
    for word in text.split("\0"):
        if lines and font.getlength(lines[-1] + word.rstrip()) <= width:
            lines[-1] += word
            continue
        while font.getlength(word.rstrip()) > width and len(word) > 1:
            fits = next(n for n in range(len(word) - 1, 0, -1) if n == 1 or font.getlength(word[:n]) <= width)
            lines.append(word[:fits])
            word = word[fits:]
        if word.strip():
            lines.append(word)
    return [line.strip() for line in lines]


def _font(size: int, *, bold: bool = False) -> Font:
    """Return DejaVu, which covers most alphabets, if installed; else Pillow's own font."""
    try:
        return ImageFont.truetype("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)
