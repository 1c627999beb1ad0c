"""Configurations of `ray up`: machines of one's own, or those of a cloud.

They fit `ray/autoscaler/ray-schema.json` of the installed Ray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foldtune.cluster.manifests.shape import SHARED, Shape

IDLE_MINUTES = 5
TOKEN_FILE = "~/.ray/auth_token"
GUARDED = "RAY_AUTH_MODE=token"
"""Before every `ray start`; the token itself is the file that `file_mounts` sends."""


@dataclass(frozen=True)
class Machines:
    """Existing machines, reached by SSH."""

    head: str
    workers: Sequence[str]
    user: str


@dataclass(frozen=True)
class Aws:
    """Machines of Amazon EC2.

    Attributes:
        head_type: instance type of the head, which trains nothing.
    """

    region: str
    instance_type: str
    head_type: str = "m5.large"
    user: str = "ubuntu"


def on_machines(shape: Shape, machines: Machines) -> dict[str, Any]:
    """For machines of one's own, each of which mounts the shared folder at `SHARED`."""
    return {
        **_common(shape, machines.user, shape.gpus),
        "max_workers": len(machines.workers),
        "provider": {"type": "local", "head_ip": machines.head, "worker_ips": list(machines.workers)},
    }


def on_aws(shape: Shape, aws: Aws) -> dict[str, Any]:
    """For Amazon EC2; the storage is a bucket, which no machine has to mount."""
    worker = {
        "node_config": {"InstanceType": aws.instance_type},
        "resources": {"CPU": shape.cpus, **({"GPU": shape.gpus} if shape.gpus else {})},
        "min_workers": 0 if shape.grows else shape.workers,
        "max_workers": shape.max_workers,
    }
    return {
        **_common(shape, aws.user, shape.gpus),
        "max_workers": shape.max_workers,
        "idle_timeout_minutes": IDLE_MINUTES,
        "provider": {"type": "aws", "region": aws.region},
        "head_node_type": "head",
        "available_node_types": {
            "head": {"node_config": {"InstanceType": aws.head_type}, "resources": {"CPU": 0}},
            "worker": worker,
        },
    }


def _common(shape: Shape, user: str, gpus: int) -> dict[str, Any]:
    devices = ["--gpus all"] if gpus else []
    shared = f"-v {SHARED}:{SHARED}"
    head = "ray start --head --port=6379 --num-cpus=0 --dashboard-host=127.0.0.1"
    return {
        "cluster_name": shape.name,
        "auth": {"ssh_user": user},
        "docker": {
            "image": shape.image,
            "container_name": "foldtune",
            "run_options": ["--ulimit nofile=65536:65536", shared],
            "worker_run_options": devices,
        },
        "file_mounts": {TOKEN_FILE: TOKEN_FILE},
        "cluster_synced_files": [],
        "head_start_ray_commands": [
            "ray stop",
            f"{GUARDED} {head} --autoscaling-config=~/ray_bootstrap_config.yaml",
        ],
        "worker_start_ray_commands": ["ray stop", f"{GUARDED} ray start --address=$RAY_HEAD_IP:6379"],
    }
