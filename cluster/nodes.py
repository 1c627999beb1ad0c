"""The nodes of the connected cluster: their resources, what of them is free, and the workers on each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ray

from foldtune.cluster.ray_internals import HEAD_RESOURCE, driver_commands, free_resources_by_node, live_actors

RAY_ACTORS = frozenset({"JobSupervisor"})
"""Classes of actors that belong to Ray itself."""


@dataclass(frozen=True)
class Node:
    """A live node.

    Attributes:
        node_id: Ray's id of the node, hexadecimal.
        ip: IP address that Ray uses.
        is_head: whether it runs the cluster's control.
        cpus: number of CPUs; tasks may take fractions.
        free_cpus: CPUs that no task or actor has taken or reserved.
        free_gpus: GPUs that no task or actor has taken or reserved.
        memory_gb: memory that Ray may give to tasks, in GB.
        workers: number of live actors by class and driver, as ("TrialTrainable", "foldtune search skin.yaml").
    """

    node_id: str
    host: str
    ip: str
    is_head: bool
    cpus: float
    gpus: float
    free_cpus: float
    free_gpus: float
    memory_gb: float
    workers: Mapping[tuple[str, str], int] = field(default_factory=dict)


def nodes() -> list[Node]:
    """Return the live nodes, the head first, then by IP address."""
    free = free_resources_by_node()
    workers = _workers()
    found = [
        _node(each, free.get(each["NodeID"], {}), workers.get(each["NodeID"], Counter()))
        for each in ray.nodes()
        if each["Alive"]
    ]
    return sorted(found, key=lambda node: (not node.is_head, node.ip, node.node_id))


def pending_groups() -> int:
    """Return the number of trials and folds that wait for resources; an autoscaler sees them as demand."""
    return sum(group["state"] == "PENDING" for group in ray.util.placement_group_table().values())


def _node(each: Mapping[str, Any], free: Mapping[str, float], workers: Counter[tuple[str, str]]) -> Node:
    has = each["Resources"]
    return Node(
        node_id=each["NodeID"],
        host=each["NodeManagerHostname"],
        ip=each["NodeManagerAddress"],
        is_head=HEAD_RESOURCE in has,
        cpus=has.get("CPU", 0.0),
        gpus=has.get("GPU", 0.0),
        free_cpus=free.get("CPU", 0.0),
        free_gpus=free.get("GPU", 0.0),
        memory_gb=has.get("memory", 0.0) / 1e9,
        workers=dict(workers),
    )


def _workers() -> dict[str, Counter[tuple[str, str]]]:
    """Return the live actors by node id, counted by class and driver command."""
    commands = {job: _command(entrypoint) for job, entrypoint in driver_commands().items()}
    found: dict[str, Counter[tuple[str, str]]] = {}
    for actor in live_actors():
        name = str(actor["ActorClassName"]).rpartition(".")[2]
        if name in RAY_ACTORS:
            continue
        key = (name, commands.get(actor["JobID"], ""))
        found.setdefault(actor["Address"]["NodeID"], Counter())[key] += 1
    return found


def _command(entrypoint: str) -> str:
    """Return a driver's command line, foldtune's own in short."""
    for start in ("-m foldtune.search.cli ", "bin/foldtune "):
        if start in entrypoint:
            return f"foldtune {entrypoint.split(start, 1)[1]}"
    return entrypoint
