"""What a cluster is made of, whatever starts it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import version

from foldtune.errors import ClusterError

SHARED = "/shared"
"""Path of the shared folder on every node."""
_NAME = re.compile(r"[a-z]([a-z0-9-]{0,40}[a-z0-9])?")


@dataclass(frozen=True)
class Shape:
    """Shape of a cluster: a head that trains nothing, and identical workers.

    Attributes:
        name: name of the cluster: lower-case letters, digits and dashes, at most 42, since Kubernetes adds to it.
        image: container image with foldtune and its dependencies, the same for every node.
        workers: number of workers at the start.
        max_workers: upper limit of an autoscaler, >= workers; equal to it without one.
        cpus: CPUs of a worker.
        gpus: GPUs of a worker.
        memory_gb: memory of a worker.
    """

    name: str
    image: str
    workers: int
    max_workers: int
    cpus: int
    gpus: int
    memory_gb: int

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ClusterError(
                f"name {self.name!r}: a cluster's starts with a lower-case letter and goes on with those, digits and "
                "'-', at most 42 characters in all"
            )
        if self.max_workers < self.workers:
            raise ClusterError(f"--max-workers {self.max_workers} is less than --workers {self.workers}")

    @property
    def grows(self) -> bool:
        """Whether an autoscaler adds and removes workers."""
        return self.max_workers > self.workers


def ray_version() -> str:
    """Of this machine: a cluster's must be the same."""
    return version("ray")
