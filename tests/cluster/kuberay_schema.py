"""The part of KubeRay's resources that foldtune writes, as JSON schemas; a key that is not here is an error.

Written from the API reference of KubeRay (https://docs.ray.io/en/latest/cluster/kubernetes/references/api.html) and
that of Kubernetes' core/v1.
"""

from __future__ import annotations

from typing import Any

NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "maxLength": 63}
QUANTITY = {"type": "string", "pattern": "^[0-9]+(Gi|Mi)?$"}
STRINGS = {"type": "object", "additionalProperties": {"type": "string"}}


def closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """An object with these keys and no others."""
    properties = {**required, **(optional or {})}
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def array(items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "array", "items": items, **more}


METADATA = closed({"name": NAME})
RESOURCES = {"type": "object", "additionalProperties": QUANTITY, "required": ["cpu", "memory"]}
PORT = closed({"name": {"type": "string", "maxLength": 15}, "containerPort": {"type": "integer", "maximum": 65535}})
CONTAINER = closed(
    {
        "name": NAME,
        "image": {"type": "string", "minLength": 1},
        "resources": closed({"requests": RESOURCES, "limits": RESOURCES}),
    },
    {
        "ports": array(PORT),
        "env": array(closed({"name": {"type": "string"}, "value": {"type": "string"}})),
        "volumeMounts": array(
            closed({"name": NAME, "mountPath": {"type": "string", "pattern": "^/"}}, {"readOnly": {"type": "boolean"}})
        ),
    },
)
VOLUME = {
    "oneOf": [
        closed({"name": NAME, "persistentVolumeClaim": closed({"claimName": NAME})}),
        closed({"name": NAME, "emptyDir": closed({"medium": {"enum": ["", "Memory"]}})}),
        closed({"name": NAME, "configMap": closed({"name": NAME})}),
    ]
}
TOLERATION = closed(
    {"key": {"type": "string"}, "operator": {"enum": ["Exists", "Equal"]}, "effect": {"enum": ["NoSchedule"]}}
)
TEMPLATE = closed(
    {
        "spec": closed(
            {"containers": array(CONTAINER, minItems=1), "volumes": array(VOLUME)}, {"tolerations": array(TOLERATION)}
        )
    }
)
COUNT = {"type": "integer", "minimum": 0}
CLUSTER_SPEC = closed(
    {
        "rayVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
        "headGroupSpec": closed(
            {"rayStartParams": STRINGS, "template": TEMPLATE},
            {"serviceType": {"enum": ["ClusterIP", "NodePort", "LoadBalancer"]}},
        ),
    },
    {
        "authOptions": closed({"mode": {"enum": ["disabled", "token"]}}, {"secretName": NAME}),
        "enableInTreeAutoscaling": {"type": "boolean"},
        "autoscalerOptions": closed({"idleTimeoutSeconds": COUNT}),
        "workerGroupSpecs": array(
            closed(
                {
                    "groupName": NAME,
                    "replicas": COUNT,
                    "minReplicas": COUNT,
                    "maxReplicas": COUNT,
                    "rayStartParams": STRINGS,
                    "template": TEMPLATE,
                }
            )
        ),
    },
)
SCHEMAS = {
    "RayCluster": closed(
        {
            "apiVersion": {"const": "ray.io/v1"},
            "kind": {"const": "RayCluster"},
            "metadata": METADATA,
            "spec": CLUSTER_SPEC,
        }
    ),
    "RayJob": closed(
        {
            "apiVersion": {"const": "ray.io/v1"},
            "kind": {"const": "RayJob"},
            "metadata": METADATA,
            "spec": closed(
                {"entrypoint": {"type": "string", "minLength": 1}, "rayClusterSpec": CLUSTER_SPEC},
                {
                    "jobId": {"type": "string"},
                    "runtimeEnvYAML": {"type": "string"},
                    "shutdownAfterJobFinishes": {"type": "boolean"},
                    "ttlSecondsAfterFinished": COUNT,
                },
            ),
        }
    ),
    "ConfigMap": closed(
        {"apiVersion": {"const": "v1"}, "kind": {"const": "ConfigMap"}, "metadata": METADATA, "data": STRINGS}
    ),
}
