"""How many trials a cluster can hold at a time."""

from __future__ import annotations

from dataclasses import dataclass

from foldtune.errors import ClusterError


@dataclass(frozen=True)
class TrialResources:
    """What one trial, or one fold's training, takes. GPUs may be a fraction of one."""

    cpus: float
    gpus: float = 0.0

    def fit_into(self, cpus: float, gpus: float) -> int:
        """Trials that fit into one node. A fraction of a GPU lies on one device, so it is counted by device."""
        by_cpu = int(cpus / self.cpus + 1e-9)
        if not self.gpus:
            return by_cpu
        by_gpu = int(gpus) * int(1 / self.gpus + 1e-9) if self.gpus < 1 else int(gpus / self.gpus)
        return min(by_cpu, by_gpu)


def slots(trial: TrialResources, at_most: int | None = None, autoscale_to: int | None = None) -> int:
    """Trials that may be given to the connected cluster now, as its nodes come and go; at least 0.

    Args:
        trial: resources of one.
        at_most: the user's own limit.
        autoscale_to: so many trials at a time an autoscaler may be asked for, by trials that wait for room.
    """
    return allowed(held(trial), at_most, autoscale_to)


def allowed(held_now: int, at_most: int | None = None, autoscale_to: int | None = None) -> int:
    """Trials to give to a cluster that holds `held_now` of them.

    Of an autoscaler as many again as run now are asked for, one where none runs: a cluster may double each time, as
    under Ray's own `upscaling_speed` of 1, and few configurations are drawn before their predecessors' results.
    """
    total = held_now
    if autoscale_to is not None and held_now < autoscale_to:
        total = min(autoscale_to, max(1, 2 * held_now))
    return min(total, at_most) if at_most else total


def held(trial: TrialResources) -> int:
    """Trials that the live nodes can hold, node by node."""
    import ray

    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(trial.fit_into(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in alive)


def require_slot(trial: TrialResources, autoscale_to: int | None = None) -> None:
    """Fail before the start where not even one trial fits anywhere; Ray would wait for ever.

    Args:
        trial: resources of one.
        autoscale_to: where it is given, an autoscaler brings the nodes.

    Raises:
        ClusterError: what a trial asks for, and what the largest node has.
    """
    import ray

    if autoscale_to or held(trial):
        return
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    raise ClusterError(
        f"a trial asks for {trial.cpus:g} CPUs and {trial.gpus:g} GPUs; the largest of {len(nodes)} node(s) has "
        f"{cpus:g} CPUs and {gpus:g} GPUs: lower resources.cpus_per_trial or resources.gpus_per_trial, or name "
        "resources.autoscale_to where an autoscaler brings nodes"
    )
