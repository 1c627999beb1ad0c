"""A cluster's nodes as terminal tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.table import Table
from rich.text import Text

from foldtune.cluster.check import ClusterCheck, NodeCheck
from foldtune.cluster.nodes import Node
from foldtune.results.tables.columns import Column, build_table, fit_columns, left_out_line

DASH = "–"


def nodes_table(nodes: Sequence[Node], pending: int, *, width: int | None = None) -> Table:
    """Return one row a node: its resources, how much of them is taken, and its workers; the caption holds the sums."""
    columns = [
        *_names(nodes),
        _column("CPUs", [_taken(node.cpus, node.free_cpus) for node in nodes], 0),
        _column("GPUs", [_taken(node.gpus, node.free_gpus) for node in nodes], 0),
        _column("memory", [f"{node.memory_gb:.0f} GB" for node in nodes], 3),
        _column("runs", [workers_line(node) or DASH for node in nodes], 1, right=False, limit=80),
    ]
    fitted, left_out = fit_columns(columns, width)
    table = build_table(fitted)
    cpus = _taken(sum(node.cpus for node in nodes), sum(node.free_cpus for node in nodes))
    gpus = _taken(sum(node.gpus for node in nodes), sum(node.free_gpus for node in nodes))
    queue = f"; {pending} wait for room" if pending else ""
    gpus = f" and {gpus} GPUs" if gpus != DASH else ""
    caption = f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}, {cpus} CPUs{gpus} in use{queue}"
    table.caption = f"{caption}\n{left_out_line(left_out, '--format csv')}" if left_out else caption
    table.caption_style = "none"
    return table


def check_table(check: ClusterCheck, *, width: int | None = None) -> Table:
    """Return one row a node: the number of trials that fit, and whether each thing that they need is there."""
    rows = check.nodes
    columns = [
        *_names([row.node for row in rows]),
        _column("CPUs", [f"{row.node.cpus:g}" for row in rows], 0),
        _column("GPUs", [f"{row.node.gpus:g}" for row in rows], 0),
        _column("trials", [f"{row.trials}" for row in rows], 0),
        _verdicts("versions", rows, lambda row: not any(problem.startswith("has ") for problem in row.problems)),
        _verdicts("storage", rows, lambda row: row.report is not None and row.report.storage_problem is None),
        _verdicts("data", rows, lambda row: row.report is not None and not row.report.missing),
        _verdicts("cache", rows, lambda row: row.report is not None and row.report.cache_problem is None),
    ]
    return build_table(fit_columns(columns, width)[0])


def workers_line(node: Node) -> str:
    """Return the workers of a node in one line."""
    workers = sorted(node.workers.items(), key=lambda item: -item[1])
    return ", ".join(f"{count} × {name}{f' ({command})' if command else ''}" for (name, command), count in workers)


def _names(nodes: Sequence[Node]) -> list[Column]:
    return [
        _column("node", [f"{node.ip}{' (head)' if node.is_head else ''}" for node in nodes], 0, right=False),
        _column("host", [node.host for node in nodes], 2, right=False),
        _column("id", [node.node_id[:8] for node in nodes], 2, right=False),
    ]


def _taken(total: float, free: float) -> str:
    return f"{total - free:g}/{total:g}" if total else DASH


def _column(header: str, cells: Sequence[str], importance: int, *, right: bool = True, limit: int = 26) -> Column:
    return Column(header, tuple(Text(cell) for cell in cells), importance, right=right, limit=limit)


def _verdicts(header: str, rows: Sequence[NodeCheck], good: Callable[[NodeCheck], bool]) -> Column:
    """Return a column of yes or no, with a dash where no trial fits."""
    cells = [
        Text(DASH) if not row.trials else Text("yes", style="green") if good(row) else Text("no", style="bold red")
        for row in rows
    ]
    return Column(header, tuple(cells), 0, right=False)
