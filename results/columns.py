"""Columns that know their width, so that a table drops the least important ones instead of crushing them all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table
from rich.text import Text

_GAP = 3  # one space either side of a cell, one between two columns
_CELL_WIDTH = 26


@dataclass(frozen=True)
class Column:
    """One column. ``importance`` 0 is never dropped; the largest goes first, of equal ones the rightmost."""

    header: str
    cells: tuple[Text, ...]
    importance: int
    right: bool = True
    strong: bool = False

    def width(self, header: str) -> int:
        """Characters that the column needs under that header."""
        lines = [len(line) for line in header.split("\n")]
        return max([*lines, *(min(cell.cell_len, _CELL_WIDTH) for cell in self.cells)])


def fit_columns(columns: Sequence[Column], width: int | None) -> tuple[list[tuple[str, Column]], int]:
    """Return (header, column) pairs that fit into ``width`` characters (None: no limit) and how many were dropped.

    Long headers are broken after "_" and "." before any column is dropped.
    """
    kept = list(columns)
    if width is None or _total(kept, broken=False) <= width:
        return [(column.header, column) for column in kept], 0
    while _total(kept, broken=True) > width:
        droppable = [i for i, column in enumerate(kept) if column.importance > 0]
        if not droppable:
            break
        del kept[max(droppable, key=lambda i: (kept[i].importance, i))]
    return [(_broken(column), column) for column in kept], len(columns) - len(kept)


def build_table(columns: Iterable[tuple[str, Column]], *, title: str | None = None) -> Table:
    """Return a table of the columns, its cells as long as a line."""
    pairs = list(columns)
    table = Table(
        box=box.SIMPLE_HEAD, title=title, title_justify="left", caption_justify="left", header_style="dim"
    )
    for header, column in pairs:
        table.add_column(
            Text(header, style="bold" if column.strong else ""),
            justify="right" if column.right else "left",
            vertical="bottom",
            no_wrap=True,
            overflow="ellipsis",
            max_width=max(_CELL_WIDTH, len(header)),
        )
    for row in zip(*(column.cells for _, column in pairs), strict=True):
        table.add_row(*row)
    return table


def short_names(names: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return for each dotted name its shortest ending that no other one shares and that is not ``taken``.

    A name that is taken in full becomes ``params_<name>``, as in leaderboard.csv.
    """
    reserved = set(taken)
    endings = {name: _endings(name) for name in names}
    shared = [ending for several in endings.values() for ending in several]
    return {
        name: next(
            (e for e in several if e not in reserved and shared.count(e) == 1),
            f"params_{name}" if name in reserved else name,
        )
        for name, several in endings.items()
    }


def _endings(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[start:]) for start in reversed(range(len(parts)))]


def _total(columns: Sequence[Column], *, broken: bool) -> int:
    widths = [column.width(_broken(column) if broken else column.header) for column in columns]
    return sum(widths) + _GAP * len(widths) + 1


def _broken(column: Column) -> str:
    """Break the header after its underscores and dots, as few times as the cells' width asks for."""
    words = column.header.replace("_", "_\0").replace(".", ".\0").split("\0")
    limit = max([len(word) for word in words] + [min(cell.cell_len, _CELL_WIDTH) for cell in column.cells])
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > limit:
            lines.append(word)
        else:
            lines[-1] += word
    return "\n".join(lines)
