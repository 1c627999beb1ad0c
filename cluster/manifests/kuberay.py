"""Manifests for KubeRay, of 1.5.1 on: a RayCluster that stays, or a RayJob that brings its own cluster.

The fields are those of https://docs.ray.io/en/latest/cluster/kubernetes/references/api.html.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from foldtune.cluster.jobs import ENVIRONMENT
from foldtune.cluster.manifests.shape import SHARED, Shape, ray_version
from foldtune.yaml import dump_yaml

API = "ray.io/v1"
HEAD_CPUS, HEAD_MEMORY_GB = 2, 8
IDLE_S = 300
"""Seconds after which an idle worker is given back; images are decoded once a worker, so not at once."""
KEPT_S = 600
"""Seconds that the cluster of a finished job is kept, so that its log can be read."""
CONFIG_DIR = "/etc/foldtune"


def ray_cluster(shape: Shape, claim: str) -> list[dict[str, Any]]:
    """Return a cluster that requires a token, which the operator makes and keeps in a Secret of the cluster's name.

    Args:
        claim: PersistentVolumeClaim (ReadWriteMany) with the data and the runs, mounted at `SHARED`.
    """
    return [{"apiVersion": API, "kind": "RayCluster", "metadata": {"name": shape.name}, "spec": _spec(shape, claim)}]


def ray_job(
    shape: Shape, claim: str, *, config: str, arguments: Sequence[str], environment: Mapping[str, str]
) -> list[dict[str, Any]]:
    """A cluster for one search, gone when it ends; the configuration comes with it.

    Args:
        config: text of `CONFIG_DIR/config.yaml`.
        environment: environment variables of the job's command.
    """
    name = f"{shape.name}-config"
    volume = {"name": "config", "configMap": {"name": name}}
    mount = {"name": "config", "mountPath": CONFIG_DIR, "readOnly": True}
    spec = _spec(shape, claim)
    pod = spec["headGroupSpec"]["template"]["spec"]
    pod["volumes"].append(volume)
    pod["containers"][0]["volumeMounts"].append(mount)
    job = {
        "entrypoint": shlex.join(["foldtune", *arguments]),
        "jobId": f"foldtune-{shape.name}",
        "runtimeEnvYAML": dump_yaml({"env_vars": dict(sorted({**ENVIRONMENT, **environment}.items()))}),
        "shutdownAfterJobFinishes": True,
        "ttlSecondsAfterFinished": KEPT_S,
        "rayClusterSpec": spec,
    }
    return [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"config.yaml": config}},
        {"apiVersion": API, "kind": "RayJob", "metadata": {"name": shape.name}, "spec": job},
    ]


def _spec(shape: Shape, claim: str) -> dict[str, Any]:
    head_ports = [("gcs-server", 6379), ("dashboard", 8265), ("client", 10001)]
    head = _container("ray-head", shape.image, HEAD_CPUS, HEAD_MEMORY_GB, 0)
    head["ports"] = [{"name": name, "containerPort": port} for name, port in head_ports]
    worker = _container("ray-worker", shape.image, shape.cpus, shape.memory_gb, shape.gpus)
    spec: dict[str, Any] = {
        "rayVersion": ray_version(),
        "authOptions": {"mode": "token"},
        "headGroupSpec": {
            "serviceType": "ClusterIP",
            # No trial runs beside the cluster's control. The dashboard requires the token, too.
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},
            "template": {"spec": _pod(head, claim)},
        },
        "workerGroupSpecs": [
            {
                "groupName": "workers",
                "replicas": shape.workers,
                "minReplicas": 0 if shape.grows else shape.workers,
                "maxReplicas": shape.max_workers,
                "rayStartParams": {},
                "template": {"spec": _pod(worker, claim, gpus=shape.gpus)},
            }
        ],
    }
    if shape.grows:
        spec["enableInTreeAutoscaling"] = True
        spec["autoscalerOptions"] = {"idleTimeoutSeconds": IDLE_S}
    return spec


def _container(name: str, image: str, cpus: int, memory_gb: int, gpus: int) -> dict[str, Any]:
    resources: dict[str, Any] = {"cpu": str(cpus), "memory": f"{memory_gb}Gi"}
    if gpus:
        resources["nvidia.com/gpu"] = str(gpus)
    return {
        "name": name,
        "image": image,
        "resources": {"requests": resources, "limits": dict(resources)},
        "env": [{"name": "FOLDTUNE_CACHE", "value": "/tmp/foldtune-cache"}],
        "volumeMounts": [{"name": "shared", "mountPath": SHARED}, {"name": "shm", "mountPath": "/dev/shm"}],
    }


def _pod(container: dict[str, Any], claim: str, *, gpus: int = 0) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "containers": [container],
        "volumes": [
            {"name": "shared", "persistentVolumeClaim": {"claimName": claim}},
            # Ray's objects and the batches of loader processes; a pod's own /dev/shm holds 64 MB.
            {"name": "shm", "emptyDir": {"medium": "Memory"}},
        ],
    }
    if gpus:
        pod["tolerations"] = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return pod
