"""What the answers of nodes mean, and the probe of a storage on this machine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import fsspec
import pytest

from foldtune.cluster.check import evaluate_reports
from foldtune.cluster.nodes import Node
from foldtune.cluster.probe import PROBE_PREFIX, NodeQuery, NodeReport, probe_node, try_storage, versions
from foldtune.cluster.resources import TrialResources, allowed

HEAD = Node("a" * 8, "head", "10.0.0.1", True, 0, 0, 0, 0, 8)
WORKER = Node("b" * 8, "gpu1", "10.0.0.2", False, 8, 2, 8, 2, 64)
OWN = {"python": "3.11.7", "ray": "2.60.0", "torch": "2.15.0", "foldtune": "0123abcd"}
GOOD = NodeReport("b" * 8, "gpu1", OWN)
TRIAL = TrialResources(1, 0.5)


def problems(said: NodeReport | None, storage: str = "/shared/runs") -> list[str]:
    """Return the check of a cluster of a head without CPUs and access, and one worker with this report."""
    nowhere = NodeReport(HEAD.node_id, "head", {}, "does not see", ("x",), "no place")
    answers = {HEAD.node_id: nowhere} | ({} if said is None else {said.node_id: said})
    return evaluate_reports([HEAD, WORKER], answers, TRIAL, OWN, storage).all_problems()


def test_a_node_that_no_trial_fits_into_may_lack_everything() -> None:
    check = evaluate_reports([HEAD, WORKER], {GOOD.node_id: GOOD}, TRIAL, OWN, "/shared/runs")
    assert [each.trials for each in check.nodes] == [0, 4]
    assert check.trials == 4
    assert problems(GOOD) == []
    assert problems(replace(GOOD, versions={**OWN, "python": "3.11.9"})) == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (None, "node 10.0.0.2: gave no answer within"),
        (replace(GOOD, versions={**OWN, "torch": "2.14.0", "timm": "1"}), "has torch 2.14.0, not 2.15.0: install"),
        (replace(GOOD, versions={**OWN, "python": "3.12.1"}), "has python 3.12.1, not 3.11.7"),
        (replace(GOOD, storage_problem="does not see it"), "'/shared/runs': does not see it: mount one shared folder"),
        (replace(GOOD, missing=("/data/1.png", "/data/2.png")), "cannot read /data/1.png and 1 more: mount the data"),
        (replace(GOOD, cache_problem="cannot write /home"), "cannot write /home: set FOLDTUNE_CACHE"),
    ],
)
def test_each_problem_names_its_node_and_the_remedy(said: NodeReport | None, expected: str) -> None:
    (problem,) = problems(said)
    assert problem.startswith("node 10.0.0.2: ")
    assert expected in problem


def test_a_url_that_a_node_does_not_reach_is_no_matter_of_mounting() -> None:
    (problem,) = problems(replace(GOOD, storage_problem="403 Forbidden"), "s3://bucket/runs")
    assert "check the credentials and the network of that node" in problem


def test_no_node_is_large_enough_unless_an_autoscaler_brings_one() -> None:
    large = TrialResources(4, 4)
    check = evaluate_reports([HEAD, WORKER], {}, large, OWN, "/shared")
    assert check.all_problems() == [
        "no node holds a trial of 4 CPUs and 4 GPUs; the largest has 8 CPUs and 2 GPUs: lower "
        "resources.cpus_per_trial or resources.gpus_per_trial"
    ]
    assert evaluate_reports([HEAD], {}, large, OWN, "/shared", growing=True).all_problems() == []


@pytest.mark.parametrize("kind", ["folder", "url"])
def test_a_storage_that_is_shared_holds_what_both_sides_wrote(kind: str, tmp_path: Path) -> None:
    storage = str(tmp_path) if kind == "folder" else "memory://bucket/runs"
    files, root = fsspec.core.url_to_fs(storage)
    files.pipe_file(f"{root}/{PROBE_PREFIX}t0", b"t0")
    assert try_storage(storage, "t0", "node1") is None
    assert files.cat_file(f"{root}/{PROBE_PREFIX}t0-node1") == b"node1"
    assert "the folder is this node's own" in str(try_storage(storage, "t1", "node1"))
    files.pipe_file(f"{root}/{PROBE_PREFIX}t2", b"t1")
    assert "reads other bytes" in str(try_storage(storage, "t2", "node1"))


def test_the_report_of_this_machine(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"")
    (tmp_path / f"{PROBE_PREFIX}t").write_text("t")
    wanted = [str(tmp_path / "image.png"), str(tmp_path / "gone.png")]
    said = probe_node(NodeQuery(str(tmp_path), "t", wanted, str(tmp_path / "cache/deep")), "n")
    assert (said.missing, said.storage_problem, said.cache_problem) == ((wanted[1],), None, None)
    assert said.versions == versions()
    assert set(said.versions) == {"python", "ray", "torch", "timm", "optuna", "numpy", "foldtune"}
    assert "absent" not in said.versions.values()


@pytest.mark.parametrize(
    ("held", "at_most", "autoscale_to", "expected"),
    [
        (4, None, None, 4),
        (4, 2, None, 2),
        (0, None, None, 0),
        (0, None, 32, 1),
        (1, None, 32, 2),
        (8, None, 32, 16),
        (20, None, 32, 32),
        (40, None, 32, 40),
        (8, 10, 32, 10),
    ],
)
def test_trials_follow_the_size_of_the_cluster(
    held: int, at_most: int | None, autoscale_to: int | None, expected: int
) -> None:
    assert allowed(held, at_most, autoscale_to) == expected
