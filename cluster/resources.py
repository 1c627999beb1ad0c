"""Number of trials that a cluster can hold at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foldtune.errors import ClusterError


@dataclass(frozen=True)
class TrialResources:
    """Resources of one trial, or of one fold's training.

    Attributes:
        cpus: number of CPUs, > 0.
        gpus: number of GPUs, >= 0; may be a fraction.
    """

    cpus: float
    gpus: float = 0.0

    def fit_into(self, cpus: float, gpus: float) -> int:
        """Return the number of trials that fit into a node.

        A fraction of a GPU is one device's, so fractions are counted device by device.

        >>> TrialResources(cpus=2, gpus=0.5).fit_into(8, 1)
        2
        """
        by_cpu = int(cpus / self.cpus + 1e-9)
        if not self.gpus:
            return by_cpu
        by_gpu = int(gpus) * int(1 / self.gpus + 1e-9) if self.gpus < 1 else int(gpus / self.gpus)
        return min(by_cpu, by_gpu)


def slots(trial: TrialResources, at_most: int | None = None, autoscale_to: int | None = None) -> int:
    """Return the number of trials to submit to the connected cluster as it is now, >= 0.

    Args:
        at_most: the user's own limit, None for none.
        autoscale_to: number of trials at a time up to which an autoscaler adds nodes, None where there is none.
    """
    return allowed(held(trial), at_most, autoscale_to)


def allowed(held_now: int, at_most: int | None = None, autoscale_to: int | None = None) -> int:
    """Return the number of trials to submit to a cluster that holds `held_now` of them.

    From an autoscaler as many again as run now are requested, one where none runs: a cluster may double each time, as
    under Ray's own `upscaling_speed` of 1, and few configurations are drawn before their predecessors' results.
    """
    total = held_now
    if autoscale_to is not None and held_now < autoscale_to:
        total = min(autoscale_to, max(1, 2 * held_now))
    return min(total, at_most) if at_most else total


def held(trial: TrialResources) -> int:
    """Return the number of trials that the live nodes can hold, each on one node."""
    return sum(trial.fit_into(node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in _live_resources())


def require_slot(trial: TrialResources, autoscale_to: int | None = None) -> None:
    """Check before the start that at least one trial fits on some node; Ray would wait for ever.

    Args:
        autoscale_to: number of trials at a time up to which an autoscaler adds nodes, None where there is none.

    Raises:
        ClusterError: what a trial needs, and what the largest node has.
    """
    if autoscale_to or held(trial):
        return
    nodes = _live_resources()
    cpus = max((node.get("CPU", 0.0) for node in nodes), default=0.0)
    gpus = max((node.get("GPU", 0.0) for node in nodes), default=0.0)
    raise ClusterError(
        f"a trial requests {trial.cpus:g} CPUs and {trial.gpus:g} GPUs; the largest of {len(nodes)} node(s) has "
        f"{cpus:g} CPUs and {gpus:g} GPUs: lower resources.cpus_per_trial or resources.gpus_per_trial, or name "
        "resources.autoscale_to where an autoscaler brings nodes"
    )


def _live_resources() -> list[Mapping[str, float]]:
    """Return the resources of each live node by name."""
    import ray  # heavy, and not needed by those who only count with `TrialResources`

    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
