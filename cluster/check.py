"""Whether the connected cluster can hold a search, found out on every node before anything is trained."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from foldtune.cluster.nodes import Node, nodes
from foldtune.cluster.probe import PROBE_PREFIX, NodeQuery, NodeReport, probe_node, versions
from foldtune.cluster.resources import TrialResources

ANSWER_TIMEOUT_S = 90.0
"""A node that has to unpack the code and start a worker first answers within seconds."""


@dataclass(frozen=True)
class NodeCheck:
    """One node's part.

    Attributes:
        node: what it has.
        trials: that fit into it at a time.
        answer: None where it gave none in time.
        problems: each in one line, with what to do; empty where it may take trials, or has no room for any.
    """

    node: Node
    trials: int
    answer: NodeReport | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class ClusterCheck:
    """The whole cluster: its nodes, and what is wrong with all of them together."""

    nodes: tuple[NodeCheck, ...]
    problems: tuple[str, ...]

    @property
    def trials(self) -> int:
        """Trials that fit at a time."""
        return sum(each.trials for each in self.nodes)

    def all_problems(self) -> list[str]:
        """Every problem in one line, those of a node with its address first."""
        own = [f"node {each.node.ip}: {problem}" for each in self.nodes for problem in each.problems]
        return [*own, *self.problems]


def check_cluster(
    trial: TrialResources, storage: str, files: Sequence[str], cache_dir: str | None, *, growing: bool = False
) -> ClusterCheck:
    """Check every node of the connected cluster.

    Args:
        trial: resources of one.
        storage: folder or fsspec URL; made where it is not there yet.
        files: that trials read, absolute.
        cache_dir: of decoded images, None where nothing is cached.
        growing: an autoscaler may bring the nodes that hold trials.
    """
    token = secrets.token_hex(8)
    ask = NodeQuery(storage, token, tuple(files), cache_dir)
    live = nodes()
    with _mark(storage, token) as problem:
        if problem is not None:
            here = tuple(NodeCheck(node, trial.fit_into(node.cpus, node.gpus), None, ()) for node in live)
            return ClusterCheck(here, (f"storage {storage!r}: {problem}",))
        answers = _ask_all(ask, live)
        return evaluate_reports(live, answers, trial, versions(), storage, growing=growing)


def evaluate_reports(
    live: Sequence[Node],
    answers: Mapping[str, NodeReport],
    trial: TrialResources,
    expected: Mapping[str, str],
    storage: str,
    *,
    growing: bool = False,
) -> ClusterCheck:
    """What the answers mean; a node that no trial fits into may lack what trials need.

    Args:
        live: the nodes.
        answers: by node id.
        trial: resources of one.
        expected: the driver's own versions.
        storage: as it was asked for.
        growing: an autoscaler may bring the nodes that hold trials.
    """
    checked = []
    for node in live:
        fits = trial.fit_into(node.cpus, node.gpus)
        said = answers.get(node.node_id)
        problems = _problems(said, expected, storage) if fits else ()
        checked.append(NodeCheck(node, fits, said, problems))
    whole = ClusterCheck(tuple(checked), ())
    if whole.trials or growing:
        return whole
    most_cpus, most_gpus = max(node.cpus for node in live), max(node.gpus for node in live)
    return replace(
        whole,
        problems=(
            f"no node holds a trial of {trial.cpus:g} CPUs and {trial.gpus:g} GPUs; the largest has {most_cpus:g} CPUs "
            f"and {most_gpus:g} GPUs: lower resources.cpus_per_trial or resources.gpus_per_trial",
        ),
    )


def _problems(said: NodeReport | None, expected: Mapping[str, str], storage: str) -> tuple[str, ...]:
    if said is None:
        return (f"gave no answer within {ANSWER_TIMEOUT_S:g} s: see its raylet's log, or take it out of the cluster",)
    problems = []
    differing = [
        f"{name} {said.versions.get(name)}, not {own}" for name, own in expected.items() if _differs(said, name, own)
    ]
    if differing:
        problems.append(f"has {'; '.join(differing)}: install the driver's versions there, one image for every node")
    if said.storage_problem:
        advice = "mount one shared folder at this path on every node, or take a URL such as s3://bucket/runs"
        if "://" in storage:
            advice = "check the credentials and the network of that node"
        problems.append(f"storage {storage!r}: {said.storage_problem}: {advice}")
    if said.missing:
        more = f" and {len(said.missing) - 1} more" if len(said.missing) > 1 else ""
        problems.append(f"cannot read {said.missing[0]}{more}: mount the data at the same path on every node")
    if said.cache_problem:
        problems.append(f"{said.cache_problem}: set FOLDTUNE_CACHE or data.cache to a folder of every node's own")
    return tuple(problems)


def _differs(said: NodeReport, name: str, own: str) -> bool:
    found = said.versions.get(name, "")
    if name == "python":  # what is pickled in one minor version is read in another one's patch releases
        return found.split(".")[:2] != own.split(".")[:2]
    return found != own


def _ask_all(ask: NodeQuery, live: Sequence[Node]) -> dict[str, NodeReport]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_retries=0)(probe_node)
    asked = {
        remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node.node_id, soft=False)).remote(
            ask, node.node_id
        ): node
        for node in live
    }
    ready, late = ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_TIMEOUT_S)
    for task in late:
        ray.cancel(task, force=True)
    answers = {}
    for task in ready:
        with suppress(ray.exceptions.RayError):  # a node that died meanwhile gives no answer
            answers[asked[task].node_id] = ray.get(task)
    return answers


@contextmanager
def _mark(storage: str, token: str) -> Iterator[str | None]:
    """The driver's file in the storage, removed with those of the nodes; gives why it cannot be written, or None."""
    from fsspec.core import url_to_fs

    try:
        files, root = url_to_fs(storage, use_listings_cache=False)
        files.makedirs(root, exist_ok=True)
        files.pipe_file(f"{root}/{PROBE_PREFIX}{token}", token.encode())
    except Exception as error:  # whatever the storage's client raises
        yield " ".join(str(error).split())[:200] or type(error).__name__
        return
    try:
        yield None
    finally:
        with suppress(Exception):
            files.rm([path for path in files.ls(root, detail=False) if PROBE_PREFIX + token in path])
