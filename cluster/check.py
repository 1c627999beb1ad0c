"""Whether the connected cluster can run a search: a probe of every node before anything is trained."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import ray
from fsspec.core import url_to_fs
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from foldtune.cluster.nodes import Node, nodes
from foldtune.cluster.probe import PROBE_PREFIX, NodeQuery, NodeReport, probe_node, versions
from foldtune.cluster.resources import TrialResources
from foldtune.redaction import redacted

REPORT_TIMEOUT_S = 90.0
"""Seconds in which a node must report; one that first unpacks the code and starts a worker takes a few."""


@dataclass(frozen=True)
class NodeCheck:
    """The result of one node.

    Attributes:
        trials: number of trials that fit into it at a time, >= 0.
        report: result of its probe, None where it gave none in time.
        problems: what is wrong and what to do, one line each; empty where it can run trials, or holds none.
    """

    node: Node
    trials: int
    report: NodeReport | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class ClusterCheck:
    """The result of a cluster: that of each node, and the problems of the cluster as a whole."""

    nodes: tuple[NodeCheck, ...]
    problems: tuple[str, ...]

    @property
    def trials(self) -> int:
        """Number of trials that fit at a time."""
        return sum(each.trials for each in self.nodes)

    def all_problems(self) -> list[str]:
        """Return every problem, one line each; those of a node begin with its address."""
        own = [f"node {each.node.ip}: {problem}" for each in self.nodes for problem in each.problems]
        return [*own, *self.problems]


def check_cluster(
    trial: TrialResources, storage: str, files: Sequence[str], cache_dir: str | None, *, growing: bool = False
) -> ClusterCheck:
    """Check every node of the connected cluster.

    Args:
        storage: folder or fsspec URL of the runs; created where it does not exist.
        files: absolute paths of files that trials read.
        cache_dir: folder of decoded images, None where nothing is cached.
        growing: whether an autoscaler may add the nodes that hold trials.
    """
    token = secrets.token_hex(8)
    query = NodeQuery(storage, token, tuple(files), cache_dir)
    live = nodes()
    with _probe_file(storage, token) as problem:
        if problem is not None:
            unprobed = tuple(NodeCheck(node, trial.fit_into(node.cpus, node.gpus), None, ()) for node in live)
            return ClusterCheck(unprobed, (f"storage {storage!r}: {problem}",))
        reports = _probe_all(query, live)
        return evaluate_reports(live, reports, trial, versions(), storage, growing=growing)


def evaluate_reports(
    live: Sequence[Node],
    reports: Mapping[str, NodeReport],
    trial: TrialResources,
    expected: Mapping[str, str],
    storage: str,
    *,
    growing: bool = False,
) -> ClusterCheck:
    """Return the problems that the nodes' reports show; a node that no trial fits into may lack what trials need.

    Args:
        live: the live nodes, at least one.
        expected: versions of the driver, by name.
        growing: whether an autoscaler may add the nodes that hold trials.
    """
    checked = []
    for node in live:
        fits = trial.fit_into(node.cpus, node.gpus)
        report = reports.get(node.node_id)
        problems = _problems(report, expected, storage) if fits else ()
        checked.append(NodeCheck(node, fits, report, problems))
    whole = ClusterCheck(tuple(checked), ())
    if whole.trials or growing:
        return whole
    max_cpus, max_gpus = max(node.cpus for node in live), max(node.gpus for node in live)
    return replace(
        whole,
        problems=(
            f"no node holds a trial of {trial.cpus:g} CPUs and {trial.gpus:g} GPUs; the largest has {max_cpus:g} CPUs "
            f"and {max_gpus:g} GPUs: lower resources.cpus_per_trial or resources.gpus_per_trial",
        ),
    )


def _problems(report: NodeReport | None, expected: Mapping[str, str], storage: str) -> tuple[str, ...]:
    if report is None:
        return (f"gave no answer within {REPORT_TIMEOUT_S:g} s: see its raylet's log, or take it out of the cluster",)
    problems = []
    found = report.versions
    differing = [f"{name} {found.get(name)}, not {own}" for name, own in expected.items() if _differs(found, name, own)]
    if differing:
        problems.append(f"has {'; '.join(differing)}: install the driver's versions there, one image for every node")
    if report.storage_problem:
        advice = "mount one shared folder at this path on every node, or take a URL such as s3://bucket/runs"
        if "://" in storage:
            advice = (
                "check the credentials and the network of that node (credentials are its own, by environment, file or "
                "role: foldtune hands none on)"
            )
        problems.append(f"storage {storage!r}: {report.storage_problem}: {advice}")
    if report.missing:
        more = f" and {len(report.missing) - 1} more" if len(report.missing) > 1 else ""
        problems.append(f"cannot read {report.missing[0]}{more}: mount the data at the same path on every node")
    if report.cache_problem:
        problems.append(f"{report.cache_problem}: set FOLDTUNE_CACHE or data.cache to a folder of every node's own")
    return tuple(problems)


def _differs(versions: Mapping[str, str], name: str, own: str) -> bool:
    found = versions.get(name, "")
    if name == "python":  # what is pickled in one minor version is read in another one's patch releases
        return found.split(".")[:2] != own.split(".")[:2]
    return found != own


def _probe_all(query: NodeQuery, live: Sequence[Node]) -> dict[str, NodeReport]:
    remote = ray.remote(num_cpus=0, max_retries=0)(probe_node)
    tasks = {
        remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)).remote(
            query, node.node_id
        ): node
        for node in live
    }
    ready, late = ray.wait(list(tasks), num_returns=len(tasks), timeout=REPORT_TIMEOUT_S)
    for task in late:
        ray.cancel(task, force=True)
    reports = {}
    for task in ready:
        with suppress(ray.exceptions.RayError):  # a node that died meanwhile has no report
            reports[tasks[task].node_id] = ray.get(task)
    return reports


@contextmanager
def _probe_file(storage: str, token: str) -> Iterator[str | None]:
    """Write the driver's file into the storage, and remove it and those of the nodes at the end of the block.

    Yields the reason why it cannot be written, or None.
    """
    try:
        files, root = url_to_fs(storage, use_listings_cache=False)
        files.makedirs(root, exist_ok=True)
        files.pipe_file(f"{root}/{PROBE_PREFIX}{token}", token.encode())
    except Exception as error:  # whatever the storage's client raises
        yield redacted(" ".join(str(error).split()))[:200] or type(error).__name__
        return
    try:
        yield None
    finally:
        with suppress(Exception):
            files.rm([path for path in files.ls(root, detail=False) if PROBE_PREFIX + token in path])
