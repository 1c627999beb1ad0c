"""The nodes of the connected cluster: what they have, what of it is free, and which workers run there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

RAYS_OWN = frozenset({"JobSupervisor"})
"""Actors that Ray itself keeps."""


@dataclass(frozen=True)
class Node:
    """A live node.

    Attributes:
        node_id: Ray's, in hexadecimal.
        host: its host name.
        ip: the address that Ray uses.
        is_head: it holds the cluster's control.
        cpus: in all; fractions may be taken.
        gpus: in all.
        free_cpus: not taken by any task or actor, nor reserved for one.
        free_gpus: the same of GPUs.
        memory_gb: that Ray may give to tasks.
        workers: live actors of each kind and driver, for example ("TrialTrainable", "foldtune search skin.yaml").
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
    """The live nodes, the head first, then by address."""
    import ray
    from ray._private import state

    free = state.available_resources_per_node()
    workers = _workers(state)
    found = [
        _node(each, free.get(each["NodeID"], {}), workers.get(each["NodeID"], Counter()))
        for each in ray.nodes()
        if each["Alive"]
    ]
    return sorted(found, key=lambda node: (not node.is_head, node.ip, node.node_id))


def waiting() -> int:
    """Trials and folds that wait for room; an autoscaler sees them as demand."""
    import ray

    return sum(group["state"] == "PENDING" for group in ray.util.placement_group_table().values())


def _node(each: Mapping[str, Any], free: Mapping[str, float], workers: Counter[tuple[str, str]]) -> Node:
    has = each["Resources"]
    return Node(
        node_id=each["NodeID"],
        host=each["NodeManagerHostname"],
        ip=each["NodeManagerAddress"],
        is_head="node:__internal_head__" in has,
        cpus=has.get("CPU", 0.0),
        gpus=has.get("GPU", 0.0),
        free_cpus=free.get("CPU", 0.0),
        free_gpus=free.get("GPU", 0.0),
        memory_gb=has.get("memory", 0.0) / 1e9,
        workers=dict(workers),
    )


def _workers(state: Any) -> dict[str, Counter[tuple[str, str]]]:
    """Live actors by node, counted by their class and the command of their driver."""
    commands = {job["JobID"]: _command(job["Entrypoint"]) for job in state.jobs()}
    found: dict[str, Counter[tuple[str, str]]] = {}
    for actor in state.actors(actor_state_name="ALIVE").values():
        name = str(actor["ActorClassName"]).rpartition(".")[2]
        if name in RAYS_OWN:
            continue
        key = (name, commands.get(actor["JobID"], ""))
        found.setdefault(actor["Address"]["NodeID"], Counter())[key] += 1
    return found


def _command(entrypoint: str) -> str:
    """A driver's command line, foldtune's own in short."""
    for start in ("-m foldtune.search.cli ", "bin/foldtune "):
        if start in entrypoint:
            return f"foldtune {entrypoint.split(start, 1)[1]}"
    return entrypoint
