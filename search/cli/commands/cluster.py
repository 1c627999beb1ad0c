"""Commands of a Ray cluster: status, check, manifest."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from foldtune.search.cli.options import (
    AllowNoToken,
    ClusterAddress,
    ConfigFile,
    Format,
    Overrides,
    StorageOverride,
    TableFormat,
    option,
    to_file,
)


class Kind(StrEnum):
    """Program that starts a cluster."""

    kuberay = "kuberay"
    ray_up = "ray-up"


def status(
    address: ClusterAddress = "auto",
    format: TableFormat = Format.table,
    allow_no_token: AllowNoToken = False,
) -> None:
    """Show the nodes of a cluster, their free resources, and what runs on each.

    foldtune cluster status --address http://head:8265
    """
    from foldtune.search.cli.handlers.cluster.check import show_status

    show_status(address, format, allow_no_token=allow_no_token)


def check(
    config: ConfigFile,
    override: Overrides = None,
    storage: StorageOverride = None,
    address: ClusterAddress = "auto",
    allow_no_token: AllowNoToken = False,
) -> None:
    """Find out node by node whether a cluster can run the trials of a search, before it is started.

    Resources, the same versions on every node, the storage written and read by every node, the images readable
    there. Ends with 1 and what to do where something is missing.

    foldtune cluster check skin.yaml --address auto --storage s3://bucket/runs
    """
    from foldtune.search.cli.handlers.cluster.check import show_check

    show_check(config, override or (), storage, address, allow_no_token=allow_no_token)


def manifest(
    kind: Annotated[Kind, option("kuberay|ray-up", "Program that starts the cluster.", show_default=False)],
    workers: Annotated[int, option("N", "Number of workers at the start.", min=0)] = 1,
    gpus: Annotated[int, option("N", "GPUs of one worker.", min=0)] = 1,
    cpus: Annotated[int, option("N", "CPUs of one worker.", min=1)] = 8,
    memory_gb: Annotated[int, option("N", "Memory of one worker, in GB.", min=1)] = 32,
    max_workers: Annotated[
        int | None, option("N", "Largest number of workers; where it is above --workers, Ray autoscales.", min=1)
    ] = None,
    name: Annotated[str, option("NAME", "Name of the cluster.")] = "foldtune",
    image: Annotated[
        str, option("IMAGE", "A container image with foldtune, the same for every node.")
    ] = "foldtune:latest",
    claim: Annotated[
        str | None, option("CLAIM", "kuberay: the PersistentVolumeClaim with data and runs, mounted at /shared.")
    ] = None,
    job: Annotated[Path | None, option("CONFIG", "kuberay: a RayJob that searches by this YAML file.")] = None,
    head: Annotated[str | None, option("HOST", "ray-up: the head, where the machines are your own.")] = None,
    host: Annotated[list[str] | None, option("HOST", "ray-up: a worker; give it once for each.")] = None,
    ssh_user: Annotated[str, option("USER", "ray-up: user name for SSH.")] = "ubuntu",
    aws_region: Annotated[
        str | None, option("REGION", "ray-up: region in which Amazon EC2 starts the machines.")
    ] = None,
    aws_instance: Annotated[str, option("TYPE", "ray-up: instance type of a worker on EC2.")] = "g5.2xlarge",
    output: Annotated[Path | None, to_file("The file to write; stdout by default.")] = None,
) -> None:
    """Write the YAML that starts a cluster, with token authentication and a place for data and runs.

    foldtune cluster manifest --kind kuberay --claim data | kubectl apply -f -
    foldtune cluster manifest --kind kuberay --claim data --job skin.yaml
    foldtune cluster manifest --kind ray-up --head gpu0 --host gpu1 -o gpus.yaml
    foldtune cluster manifest --kind ray-up --max-workers 8 --aws-region us-west-2
    """
    from foldtune.search.cli.handlers.cluster import manifest as handler

    shape = handler.Shape(name, image, workers, max_workers or workers, cpus, gpus, memory_gb)
    if kind is Kind.kuberay:
        handler.write_kuberay(shape, claim, job, output)
    else:
        own = None if head is None else handler.Machines(head, host or [], ssh_user)
        aws = None if aws_region is None else handler.Aws(aws_region, aws_instance, user=ssh_user)
        handler.write_ray_up(shape, None if own and aws else own or aws, job, output)
