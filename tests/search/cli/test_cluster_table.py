"""The tables of a cluster, as text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from foldtune.cluster.check import evaluate_reports
from foldtune.cluster.nodes import Node
from foldtune.cluster.probe import NodeReport
from foldtune.cluster.resources import TrialResources
from foldtune.search.cli.display.cluster_table import check_table, nodes_table

HEAD = Node("a" * 56, "head", "10.0.0.1", True, 0, 0, 0, 0, 8)
BUSY = Node("b" * 56, "gpu1", "10.0.0.2", False, 8, 2, 4, 0.5, 64, {("ResourceTrainable", "foldtune search s.yaml"): 4})
IDLE = Node("c" * 56, "gpu2", "10.0.0.3", False, 8, 2, 8, 2, 64)


def lines(table: Table, width: int = 160) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        console.print(table)
    return [line.strip() for line in captured.get().splitlines() if line.strip()]


def test_what_runs_where_and_what_is_left() -> None:
    shown = lines(nodes_table([HEAD, BUSY, IDLE], 3, width=160))
    assert shown[2].split()[:5] == ["10.0.0.1", "(head)", "head", "aaaaaaaa", "–"]
    assert "4/8" in shown[3]
    assert "1.5/2" in shown[3]
    assert "4 × ResourceTrainable (foldtune search s.yaml)" in shown[3]
    assert shown[-1] == "3 nodes, 4/16 CPUs and 1.5/4 GPUs in use; 3 wait for room"


def test_a_narrow_terminal_keeps_what_counts() -> None:
    shown = lines(nodes_table([HEAD, BUSY], 0, width=40), 40)
    assert max(map(len, shown)) <= 40
    assert "4/8" in shown[3]
    assert "ResourceTrainable" not in shown[3]


def test_each_node_shows_its_problems() -> None:
    own = {"ray": "2.60.0"}
    answers = {
        HEAD.node_id: NodeReport(HEAD.node_id, "head", {}, "does not see"),
        BUSY.node_id: NodeReport(BUSY.node_id, "gpu1", own),
        IDLE.node_id: NodeReport(IDLE.node_id, "gpu2", {"ray": "2.59.0"}, "does not see", ("x.png",), "cannot write"),
    }
    shown = lines(
        check_table(evaluate_reports([HEAD, BUSY, IDLE], answers, TrialResources(1, 0.5), own, "runs"), width=160)
    )
    assert [line.split()[-5:] for line in shown[2:]] == [
        ["0", "–", "–", "–", "–"],
        ["4", "yes", "yes", "yes", "yes"],
        ["4", "no", "no", "no", "no"],
    ]
