"""`foldtune cluster manifest`."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from foldtune.cluster.manifests.kuberay import CONFIG_DIR, ray_cluster, ray_job
from foldtune.cluster.manifests.ray_up import Aws, Machines, on_aws, on_machines
from foldtune.cluster.manifests.shape import SHARED, Shape
from foldtune.results.storage.files import write_bytes_atomic
from foldtune.search.cli.terminal import note
from foldtune.search.config.loading import read_raw
from foldtune.search.config.packaging import CONFIG, job_environment, pack_job, search_arguments
from foldtune.yaml import dump_yaml, dump_yaml_documents

__all__ = ["Aws", "Machines", "Shape", "write_kuberay", "write_ray_up"]


def write_kuberay(shape: Shape, claim: str | None, job: Path | None, output: Path | None) -> None:
    """Write the manifest of a RayCluster, or of a RayJob that searches by the configuration `job`.

    Args:
        claim: name of the PersistentVolumeClaim of data and runs.
        job: YAML file of a search, None for a cluster alone.
    """
    if claim is None:
        raise typer.BadParameter("name the PersistentVolumeClaim (ReadWriteMany) of the data", param_hint="--claim")
    if job is None:
        _write(ray_cluster(shape, claim), output)
        return
    config, command, variables = _packed(shape, job)
    _write(ray_job(shape, claim, config=config, arguments=command, environment=variables), output)


def write_ray_up(shape: Shape, machines: Machines | Aws | None, job: Path | None, output: Path | None) -> None:
    """Write the cluster configuration of `ray up`.

    Args:
        machines: what it runs on; None where the user named no machines, or those of two kinds.
        job: must be None: `ray up` starts no search.
    """
    if job is not None:
        raise typer.BadParameter("`ray up` starts a cluster alone; then foldtune search --address", param_hint="--job")
    if machines is None:
        raise typer.BadParameter("name --head and --host of machines of yours, or --aws-region", param_hint="--kind")
    _write([on_aws(shape, machines) if isinstance(machines, Aws) else on_machines(shape, machines)], output)


def _packed(shape: Shape, job: Path) -> tuple[str, list[str], dict[str, str]]:
    """Return the configuration, its relative paths under the shared folder, arguments and environment of the job."""
    raw = read_raw(job)
    storage = str(raw.get("storage") or "runs")
    if "://" not in storage:
        raw["storage"] = str(Path(SHARED, storage))
    package = pack_job(raw, Path(SHARED))
    variables = job_environment(None, f"foldtune-{shape.name}", "http://127.0.0.1:8265")
    text = dump_yaml(package.config)
    return text, search_arguments(f"{CONFIG_DIR}/{CONFIG}", resume=False, further_trials=None), variables


def _write(documents: Sequence[dict[str, Any]], output: Path | None) -> None:
    text = dump_yaml_documents(documents)
    if output is None:
        sys.stdout.write(text)
        return
    write_bytes_atomic(output, text.encode())
    kinds = ", ".join(re.findall(r"^kind: (\w+)$", text, re.MULTILINE)) or "a cluster of `ray up`"
    note(f"{kinds} in {output}")
