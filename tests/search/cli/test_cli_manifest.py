"""Manifests against the schemas of what reads them."""

from __future__ import annotations

import importlib.util
import shlex
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray.autoscaler._private.util as autoscaler
import yaml

from foldtune.search.config.loading import check

Command = Callable[..., tuple[int, str, str]]
_spec = importlib.util.spec_from_file_location(
    "kuberay_schema", Path(__file__).parents[2] / "cluster/kuberay_schema.py"
)
assert _spec
assert _spec.loader
kuberay_schema = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(kuberay_schema)


def documents(text: str) -> dict[str, Any]:
    """KubeRay's and Kubernetes' documents by kind, each fitting its schema."""
    found = {each["kind"]: each for each in yaml.safe_load_all(text)}
    for kind, document in found.items():
        jsonschema.validate(document, kuberay_schema.SCHEMAS[kind])
    return found


@pytest.mark.parametrize("extra", [[], ["--max-workers", "6"], ["--gpus", "0", "--workers", "0", "--max-workers", "2"]])
def test_a_cluster_that_stays(foldtune: Command, extra: list[str]) -> None:
    code, out, err = foldtune("cluster", "manifest", "--kind", "kuberay", "--workers", "4", "--claim", "data", *extra)
    assert code == 0, err
    spec = documents(out)["RayCluster"]["spec"]
    (group,) = spec["workerGroupSpecs"]
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert spec.get("enableInTreeAutoscaling", False) is (group["maxReplicas"] > group["replicas"])
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert limits.get("nvidia.com/gpu") == (None if "0" in extra else "1")
    for pod in (spec["headGroupSpec"]["template"]["spec"], group["template"]["spec"]):
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_a_cluster_for_one_search_carries_its_configuration(project: Any, foldtune: Command, tmp_path: Path) -> None:
    config = project.config({"storage": "results", "data.root": "lesions"})
    code, _, err = foldtune(
        "cluster", "manifest", "--kind", "kuberay", "--claim", "d", "--job", config, "-o", "job.yaml"
    )
    assert code == 0, err
    assert "ConfigMap, RayJob in job.yaml" in err
    found = documents((tmp_path / "job.yaml").read_text())
    job = found["RayJob"]["spec"]
    words = shlex.split(job["entrypoint"])
    assert words == ["foldtune", "search", "/etc/foldtune/config.yaml", "--address", "auto"]
    sent = check(yaml.safe_load(found["ConfigMap"]["data"]["config.yaml"]), tmp_path)
    assert (sent.data.train, sent.storage) == (Path("/shared/lesions/train.csv"), "/shared/results")
    variables = yaml.safe_load(job["runtimeEnvYAML"])["env_vars"]
    assert variables["RAY_JOB_STOP_SIGNAL"] == "SIGINT"
    assert variables["FOLDTUNE_JOB_ID"] == job["jobId"]
    head = job["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    assert {"name": "config", "configMap": {"name": found["ConfigMap"]["metadata"]["name"]}} in head["volumes"]


@pytest.mark.parametrize(
    "where",
    [["--head", "gpu0", "--host", "gpu1", "--host", "gpu2"], ["--aws-region", "us-west-2", "--max-workers", "8"]],
    ids=["machines", "aws"],
)
def test_ray_up_takes_what_is_written(foldtune: Command, where: list[str]) -> None:
    code, out, err = foldtune("cluster", "manifest", "--kind", "ray-up", "--workers", "2", "--gpus", "2", *where)
    assert code == 0, err
    written = yaml.safe_load(out)
    prepared = autoscaler.prepare_config(deepcopy(written))
    autoscaler.validate_config(prepared)  # against ray-schema.json
    starts = [
        line for key in ("head", "worker") for line in prepared[f"{key}_start_ray_commands"] if "ray start" in line
    ]
    assert len(starts) == 2
    assert all(line.startswith("RAY_AUTH_MODE=token ray start") for line in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "~/.ray/auth_token" in written["file_mounts"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--kind", "kuberay"], "PersistentVolumeClaim"),
        (["--kind", "ray-up"], "--aws-region"),
        (["--kind", "ray-up", "--head", "a", "--aws-region", "b"], "--aws-region"),
        (["--kind", "kuberay", "--claim", "d", "--name", "Skin_Lesions"], "lower-case letter"),
        (["--kind", "kuberay", "--claim", "d", "--workers", "4", "--max-workers", "2"], "less than --workers 4"),
        (["--kind", "kubernetes"], "kuberay"),
    ],
)
def test_what_cannot_be_started(foldtune: Command, arguments: list[str], said: str) -> None:
    code, out, err = foldtune("cluster", "manifest", *arguments)
    assert (code, out) == (2, "")
    assert said in " ".join(err.replace("│", " ").split())
