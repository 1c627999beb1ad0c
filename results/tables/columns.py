"""Table columns of known width: a narrow table drops the least important ones and keeps the rest legible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

_GAP = 2  # padding right of a cell, and the space between two columns


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        importance: order of dropping, >= 0: the largest first, of equal ones the rightmost; 0 is never dropped.
        right: whether cells are aligned to the right.
        strong: whether the header is bold.
        limit: maximum length of a cell in characters; longer ones end in an ellipsis.
    """

    header: str
    cells: tuple[Text, ...]
    importance: int
    right: bool = True
    strong: bool = False
    limit: int = 26

    def width(self, header: str) -> int:
        """Return the width in characters under that header."""
        lines = [len(line) for line in header.split("\n")]
        return max([*lines, self.cell_width()])

    def cell_width(self) -> int:
        """Return the width of the widest cell in characters."""
        return max((min(cell.cell_len, self.limit) for cell in self.cells), default=0)


def fit_columns(columns: Sequence[Column], width: int | None) -> tuple[list[tuple[str, Column]], list[str]]:
    """Return the (header, column) pairs that fit into ``width`` characters (None: all) and the headers of the rest.

    Long headers are broken after "_" and "." before any column is dropped; a column that does not fit beside the
    more important ones is skipped in favour of narrower ones.
    """
    kept = list(columns)
    if width is None or _total(kept, broken=False) <= width:
        return [(column.header, column) for column in kept], []
    chosen: list[int] = []
    for i in sorted(range(len(kept)), key=lambda i: (kept[i].importance, i)):
        wider = [kept[j] for j in [*chosen, i]]
        if kept[i].importance == 0 or _total(wider, broken=True) <= width:
            chosen.append(i)
    left_out = [column.header for i, column in enumerate(kept) if i not in chosen]
    return [(_broken(kept[i]), kept[i]) for i in sorted(chosen)], left_out


def left_out_line(headers: Sequence[str], elsewhere: str) -> str:
    """Return the line below a table on the columns for which it is too narrow; "" where it has all.

    Args:
        elsewhere: what has them besides a wider terminal.

    >>> left_out_line(["time", "img/s"], "--format csv")
    'left out for width: time, img/s (a wider terminal and --format csv have them)'
    """
    return f"left out for width: {', '.join(headers)} (a wider terminal and {elsewhere} have them)" if headers else ""


def build_table(columns: Iterable[tuple[str, Column]]) -> Table:
    """Return a table of the columns, one line per row."""
    pairs = list(columns)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), caption_justify="left", header_style="dim")
    for header, column in pairs:
        table.add_column(
            Text(header, style="bold" if column.strong else ""),
            justify="right" if column.right else "left",
            vertical="bottom",
            no_wrap=True,
            overflow="ellipsis",
            max_width=column.width(header),
        )
    for row in zip(*(column.cells for _, column in pairs), strict=True):
        table.add_row(*row)
    return table


def fitted_table(columns: Sequence[Column], width: int | None, elsewhere: str, notes: Sequence[str] = ()) -> Table:
    """Return a table of the columns that fit; its caption has notes, and what was left out and stands `elsewhere`."""
    fitted, left_out = fit_columns(columns, width)
    table = build_table(fitted)
    lines = [*notes, *([left_out_line(left_out, elsewhere)] if left_out else [])]
    table.caption = Text("\n".join(lines), style="dim") if lines else None
    return table


def titled(title: str, table: Table) -> Group:
    """Return a table under a title, which, unlike the table's own title, is not wrapped at the table's width."""
    return Group(Text(title, style="italic"), table)


def short_names(names: Sequence[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """Return for each dotted name its shortest suffix that is unique and not in ``taken``.

    A name that is taken in full becomes ``params_<name>``, as in leaderboard.csv.

    >>> short_names(["optimizer.name", "optimizer.lr", "epochs"], taken=["name", "epochs"])
    {'optimizer.name': 'optimizer.name', 'optimizer.lr': 'lr', 'epochs': 'params_epochs'}
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
    return sum(widths) + _GAP * len(widths) + 1  # plus the left edge


def _broken(column: Column) -> str:
    """Return the header broken after underscores and dots, into as few lines as the cells' width allows."""
    words = column.header.replace("_", "_\0").replace(".", ".\0").split("\0")
    limit = max([column.cell_width(), *(len(word) for word in words)])
    lines = [""]
    for word in words:
        if lines[-1] and len(lines[-1]) + len(word) > limit:
            lines.append(word)
        else:
            lines[-1] += word
    return "\n".join(lines)
